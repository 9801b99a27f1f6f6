//! Clients of a socket → each served by a thread of its own, so that one that says nothing holds up
//! nobody.
//!
//! A client has a few seconds for all that it says, and there are only so many at once: where more
//! come, the one that has been silent longest is sent away.

use std::{
    io,
    net::{Shutdown, TcpStream},
    os::unix::net::UnixStream,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Clients at once.
const MOST: usize = 64;
/// What a client may take to say what it wants, and for one piece of the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where the system has no socket to give.
const PAUSE: Duration = Duration::from_millis(100);

/// A connection.
pub(super) trait Stream: Send + Sync + 'static {
    fn set_timeouts(&self, read: Duration, write: Duration) -> io::Result<()>;
    fn read(&self, bytes: &mut [u8]) -> io::Result<usize>;
    fn write_all(&self, bytes: &[u8]) -> io::Result<()>;
    fn close(&self);
}

macro_rules! stream {
    ($name:ty) => {
        impl Stream for $name {
            fn set_timeouts(&self, read: Duration, write: Duration) -> io::Result<()> {
                self.set_read_timeout(Some(read))?;
                self.set_write_timeout(Some(write))
            }

            fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
                io::Read::read(&mut &*self, bytes)
            }

            fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
                io::Write::write_all(&mut &*self, bytes)
            }

            fn close(&self) {
                let _ = self.shutdown(Shutdown::Both);
            }
        }
    };
}

stream!(UnixStream);
stream!(TcpStream);

/// Somebody who has connected.
pub(super) struct Client<S> {
    stream: S,
    /// It has said what it wants.
    heard: AtomicBool,
}

impl<S: Stream> Client<S> {
    /// Reads until `is_whole` says that this is all, the client ends, or there are `most` bytes.
    ///
    /// # Errors
    /// Those of the system; the client is too slow.
    pub(super) fn read(
        &self,
        most: usize,
        is_whole: impl Fn(&[u8]) -> bool,
    ) -> io::Result<Vec<u8>> {
        let end = Instant::now() + PATIENCE;
        let (mut bytes, mut len) = (vec![0; most], 0);
        while len < most && !is_whole(&bytes[..len]) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.stream.set_timeouts(left, PATIENCE)?;
            match self.stream.read(&mut bytes[len..])? {
                0 => break,
                more => len += more,
            }
        }
        self.heard.store(true, Ordering::Relaxed);
        bytes.truncate(len);
        Ok(bytes)
    }

    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }
}

/// Serves the clients that come, for as long as any do.
pub(super) fn serve<S: Stream>(
    streams: impl Iterator<Item = io::Result<S>>,
    answer: impl Fn(&Client<S>) -> io::Result<()> + Send + Sync + 'static,
) {
    let answer = Arc::new(answer);
    let present: Arc<Mutex<Vec<Arc<Client<S>>>>> = Arc::default();
    for stream in streams {
        let Ok(stream) = stream else {
            thread::sleep(PAUSE);
            continue;
        };
        let client = Arc::new(Client {
            stream,
            heard: AtomicBool::new(false),
        });
        let mut clients = present.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= MOST {
            // Those that wait for an answer are waiting for us.
            let Some(silent) = clients
                .iter()
                .position(|client| !client.heard.load(Ordering::Relaxed))
            else {
                continue;
            };
            clients.remove(silent).stream.close();
        }
        clients.push(Arc::clone(&client));
        drop(clients);
        let (answer, all) = (Arc::clone(&answer), Arc::clone(&present));
        let work = move || {
            let _ = answer(&client);
            all.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .retain(|other| !Arc::ptr_eq(other, &client));
        };
        if thread::Builder::new()
            .name("client".into())
            .spawn(work)
            .is_err()
        {
            thread::sleep(PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Read as _, sync::mpsc::channel};

    #[test]
    fn the_silent_hold_up_nobody_however_many_they_are_and_the_oldest_go_first() {
        let (send, streams) = channel();
        thread::spawn(move || {
            serve(streams.into_iter(), |client: &Client<UnixStream>| {
                let said = client.read(8, |bytes| bytes.ends_with(b"\n"))?;
                client.write(&said)
            });
        });
        let connect = || {
            let (near, far) = UnixStream::pair().unwrap();
            send.send(Ok(far)).unwrap();
            near.set_read_timeout(Some(Duration::from_secs(60)))
                .unwrap();
            near
        };
        let began = Instant::now();
        let silent: Vec<UnixStream> = (0..MOST + 10).map(|_| connect()).collect();
        let mut text = [0; 6];
        let speaks = connect();
        speaks.write_all(b"hello\n").unwrap();
        (&speaks).read_exact(&mut text).unwrap();
        assert!(
            &text == b"hello\n" && began.elapsed() < PATIENCE,
            "{:?}",
            began.elapsed()
        );
        // The eleven that came first were sent away, and the last is still listened to.
        assert!(
            silent[..11]
                .iter()
                .all(|stream| matches!(stream.read(&mut text), Ok(0)))
        );
        silent[MOST + 9].write_all(b"later\n").unwrap();
        (&silent[MOST + 9]).read_exact(&mut text).unwrap();
        assert_eq!(&text, b"later\n");
    }
}
