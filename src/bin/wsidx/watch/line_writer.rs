//! Lines → standard output, on a separate thread: a slow reader of the lines of one batch does not
//! delay the judging of the next batch. The lines of a third batch wait.

use std::{
    io::{self, Write as _},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use super::inbox::{Inbox, Request};

/// Writes texts to standard output in order. Dropping it waits until all of them are written.
pub(super) struct LineWriter {
    texts: Option<SyncSender<Vec<u8>>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl LineWriter {
    /// Starts the thread. Sends [`Request::Unheard`] to the inbox when a write fails.
    ///
    /// # Errors
    /// Those of the system where no thread can be started.
    pub(super) fn start(inbox: Arc<Inbox>) -> io::Result<Self> {
        // A rendezvous channel: the sender waits until the thread takes the text.
        let (send, texts) = sync_channel(0);
        let work = move || write_all(&texts).inspect_err(|_| inbox.ask(Request::Unheard));
        let thread = thread::Builder::new().name("lines".into()).spawn(work)?;
        Ok(Self {
            texts: Some(send),
            thread: Some(thread),
        })
    }

    /// Queues a text. Waits until the texts before it are written.
    ///
    /// # Errors
    /// Those of writing the texts before it.
    pub(super) fn write(&mut self, text: Vec<u8>) -> io::Result<()> {
        match self.texts.as_ref().map(|texts| texts.send(text)) {
            Some(Ok(())) => Ok(()),
            _ => self.end(),
        }
    }

    /// Waits until all texts are written.
    ///
    /// # Errors
    /// As [`LineWriter::write`].
    pub(super) fn wait(&mut self) -> io::Result<()> {
        self.write(Vec::new())
    }

    /// Waits until all texts are written, and ends the thread. No text can be queued afterwards.
    ///
    /// # Errors
    /// As [`LineWriter::write`].
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.texts = None;
        let broken = || Err(io::ErrorKind::BrokenPipe.into());
        self.thread
            .take()
            .map_or_else(broken, |thread| thread.join().unwrap_or_else(|_| broken()))
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        if self.thread.is_some() {
            let _ = self.end();
        }
    }
}

fn write_all(texts: &Receiver<Vec<u8>>) -> io::Result<()> {
    for text in texts {
        let mut out = io::stdout().lock();
        out.write_all(&text)?;
        out.flush()?;
    }
    Ok(())
}
