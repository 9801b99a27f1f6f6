//! Lines → standard output, by a thread of its own: while somebody reads the lines of one handful, the next is judged; the lines after that wait.

use std::{
    io::{self, Write as _},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use super::inbox::{Inbox, Request};

/// Writes what it is given, in order. All of it is written when this is dropped.
pub(super) struct Teller {
    texts: Option<SyncSender<Vec<u8>>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Teller {
    /// Begins; the inbox is told when nobody reads any more.
    ///
    /// # Errors
    /// Those of the system, if it has no thread to give.
    pub(super) fn start(inbox: Arc<Inbox>) -> io::Result<Self> {
        // Handed from one to the other: nothing lies in between.
        let (send, texts) = sync_channel(0);
        let work = move || write(&texts).inspect_err(|_| inbox.ask(Request::Unheard));
        let thread = thread::Builder::new().name("lines".into()).spawn(work)?;
        Ok(Self { texts: Some(send), thread: Some(thread) })
    }

    /// Has a text written. Waits until all before it are.
    ///
    /// # Errors
    /// Those of writing what was told before.
    pub(super) fn tell(&mut self, text: Vec<u8>) -> io::Result<()> {
        match self.texts.as_ref().map(|texts| texts.send(text)) {
            Some(Ok(())) => Ok(()),
            _ => self.end(),
        }
    }

    /// Waits until all that was told is written.
    ///
    /// # Errors
    /// As [`Teller::tell`].
    pub(super) fn wait(&mut self) -> io::Result<()> {
        self.tell(Vec::new())
    }

    /// Waits for the last text; nothing is told after that.
    ///
    /// # Errors
    /// As [`Teller::tell`].
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.texts = None;
        let broken = || Err(io::ErrorKind::BrokenPipe.into());
        self.thread.take().map_or_else(broken, |thread| thread.join().unwrap_or_else(|_| broken()))
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        if self.thread.is_some() {
            let _ = self.end();
        }
    }
}

fn write(texts: &Receiver<Vec<u8>>) -> io::Result<()> {
    for text in texts {
        let mut out = io::stdout().lock();
        out.write_all(&text)?;
        out.flush()?;
    }
    Ok(())
}
