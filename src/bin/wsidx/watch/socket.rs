//! `wsidx watch status|pause|resume|rescan|stop`: words over a socket in the index folder, which
//! only its owner can open.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    os::{
        fd::AsRawFd as _,
        unix::fs::{FileTypeExt as _, MetadataExt as _},
        unix::net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::{Arc, mpsc::channel},
    thread,
    time::Duration,
};

use wsidx::{Error, Result, dataset::index_folder, file::open_folder};

use super::{
    clients::{self, Client},
    inbox::{Inbox, Request},
};

const NAME: &str = "watch.sock";
/// Bytes of a word.
const LONGEST: usize = 64;
/// Bytes of an answer.
const LONGEST_ANSWER: u64 = 1 << 20;
/// What a batch, or a grouping of a large part, may take before a status comes.
const ANSWER: Duration = Duration::from_secs(60);

/// The socket; it goes with this.
pub(super) struct Socket(PathBuf);

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Socket {
    /// Listens in the index of `root`, whose lock is held: so a socket that is there is a
    /// left-over.
    pub(super) fn listen(root: &Path, inbox: Arc<Inbox>) -> Result<Self> {
        let path = index_folder(root).join(NAME);
        let io = |source| Error::Io {
            doing: "listening at",
            path: path.clone(),
            source,
        };
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(io(e)),
            _ => {}
        }
        let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
        let bound = with_short(&path, &|path| UnixListener::bind(path));
        rustix::process::umask(before);
        let listener = bound.map_err(io)?;
        let each = move |client: &Client<UnixStream>| {
            client.write(format!("{}\n", answer(client, &inbox)?).as_bytes())
        };
        thread::Builder::new()
            .name("socket".into())
            .spawn(move || clients::serve(listener.incoming(), each))
            .map_err(io)?;
        Ok(Self(path))
    }
}

/// Addresses of sockets are short; a longer path is reached through a handle of its folder.
fn with_short<T>(path: &Path, act: &dyn Fn(&Path) -> io::Result<T>) -> io::Result<T> {
    if path.as_os_str().len() < 100 {
        return act(path);
    }
    let folder = open_folder(path.parent().unwrap_or(path))?;
    act(Path::new(&format!("/proc/self/fd/{}", folder.as_raw_fd()))
        .join(NAME)
        .as_path())
}

fn answer(client: &Client<UnixStream>, inbox: &Inbox) -> io::Result<String> {
    let word = client.read(LONGEST, |bytes| bytes.ends_with(b"\n"))?;
    let request = match word.trim_ascii_end() {
        b"pause" => Request::Pause,
        b"resume" => Request::Resume,
        b"rescan" => Request::Rescan,
        b"stop" => Request::Stop,
        b"" => return Err(io::ErrorKind::InvalidInput.into()),
        _ => {
            let (send, receive) = channel();
            inbox.ask(Request::Status(send));
            return receive.recv_timeout(ANSWER).map_err(io::Error::other);
        }
    };
    inbox.ask(request);
    Ok("{}".to_owned())
}

/// Says a word to the one that watches, and gives its answer.
///
/// # Errors
/// [`Error::Input`] where nobody watches, [`Error::Io`].
pub(super) fn ask(root: &Path, word: &str) -> Result<String> {
    let path = index_folder(root).join(NAME);
    let io = |source| Error::Io {
        doing: "asking",
        path: path.clone(),
        source,
    };
    // A link in an index that came from elsewhere would have another program asked.
    if fs::symlink_metadata(&path).is_ok_and(|meta| {
        !meta.file_type().is_socket() || meta.uid() != rustix::process::geteuid().as_raw()
    }) {
        return Err(Error::Refused(format!(
            "{} is not a socket of yours; remove it",
            path.display()
        )));
    }
    let stream =
        with_short(&path, &|path| UnixStream::connect(path)).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Error::Input(format!(
                "nobody watches {}; start with `wsidx watch DIR`",
                root.display()
            )),
            _ => io(e),
        })?;
    let mut text = String::new();
    writeln!(&stream, "{word}")
        .and_then(|()| (&stream).take(LONGEST_ANSWER).read_to_string(&mut text))
        .map_err(io)?;
    if text.is_empty() {
        Err(Error::Input(format!(
            "the one that watches {} is busy and gave no answer; try again",
            root.display()
        )))
    } else {
        Ok(text)
    }
}
