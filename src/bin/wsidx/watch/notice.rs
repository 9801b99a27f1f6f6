//! Words to the service manager (sd_notify(3)): ready, reloading, stopping, a line of status, and
//! that the work goes on.

use std::{
    ffi::OsString,
    os::{
        linux::net::SocketAddrExt as _,
        unix::ffi::OsStrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
    sync::Mutex,
    time::{Duration, Instant},
};

/// The one who is told, if there is one.
#[derive(Debug, Default)]
pub(super) struct Notice {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// How often it wants to hear that the work goes on.
    every: Option<Duration>,
    last: Mutex<Option<Instant>>,
}

impl Notice {
    /// As the environment says. Without a service manager all words are for nobody.
    pub(super) fn from_environment() -> Self {
        let socket = std::env::var_os("NOTIFY_SOCKET")
            .and_then(|name| Some((UnixDatagram::unbound().ok()?, address(&name)?)));
        let number = |name: &str| {
            std::env::var(name)
                .ok()
                .and_then(|value| value.parse::<u64>().ok())
        };
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let every = number("WATCHDOG_USEC")
            .filter(|_| ours)
            .map(|time| Duration::from_micros(time / 2));
        Self {
            socket,
            every,
            last: Mutex::default(),
        }
    }

    pub(super) fn ready(&self) {
        self.say("READY=1");
    }

    /// Told before settings are read again; [`Notice::ready`] ends it.
    pub(super) fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        self.say(&format!(
            "RELOADING=1\nMONOTONIC_USEC={}",
            now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
        ));
    }

    pub(super) fn stopping(&self) {
        self.say("STOPPING=1");
    }

    pub(super) fn status(&self, text: &str) {
        self.say(&format!("STATUS={}", text.replace('\n', " ")));
    }

    /// The work goes on. Called by the work itself, as often as it likes.
    pub(super) fn alive(&self) {
        let Some(every) = self.every else { return };
        let Ok(mut last) = self.last.try_lock() else {
            return;
        };
        let now = Instant::now();
        if last.is_none_or(|last| now.duration_since(last) >= every) {
            *last = Some(now);
            self.say("WATCHDOG=1");
        }
    }

    fn say(&self, words: &str) {
        if let Some((socket, address)) = &self.socket {
            let _ = socket.send_to_addr(words.as_bytes(), address);
        }
    }
}

fn address(name: &OsString) -> Option<SocketAddr> {
    match name.as_bytes() {
        [b'@', abstract_name @ ..] => SocketAddr::from_abstract_name(abstract_name).ok(),
        _ => SocketAddr::from_pathname(name).ok(),
    }
}
