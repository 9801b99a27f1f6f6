//! How long work tells of itself, and how it is told to stop.
//!
//! The library speaks to a [`Monitor`] and never to a terminal: what becomes of a word is for the
//! caller to say. The program shows it as a bar on standard error; a test counts it; [`Silent`]
//! drops it.
//!
//! A stage that is told to stop ends between two pieces of its work and returns
//! [`Error::Interrupted`](crate::Error::Interrupted); what it has acknowledged before stays.

/// One who watches long work. Called from several threads at once, often: every method must be
/// quick.
pub trait Monitor: Sync {
    /// A new stage begins, and the one before is over.
    ///
    /// `name` is a short gerund ("reading"); `total` is the number of pieces that
    /// [`advance`](Self::advance) will count, where it is known.
    fn stage(&self, name: &'static str, total: Option<u64>);

    /// `n` more pieces of the stage are done.
    fn advance(&self, n: u64);

    /// One thing to be told, such as trouble with a single file, after which the work goes on.
    ///
    /// The text may hold names as they are on disk: whoever shows it escapes it.
    fn note(&self, text: &str);

    /// Whether the work is to stop. Once true it stays true.
    fn cancelled(&self) -> bool;
}

/// The monitor of those who do not watch: drops every word and never cancels.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Monitor for Silent {
    fn stage(&self, _name: &'static str, _total: Option<u64>) {}

    fn advance(&self, _n: u64) {}

    fn note(&self, _text: &str) {}

    fn cancelled(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Recorder(Mutex<Vec<String>>);

    impl Recorder {
        fn add(&self, word: String) {
            self.0.lock().unwrap().push(word);
        }
    }

    impl Monitor for Recorder {
        fn stage(&self, name: &'static str, total: Option<u64>) {
            self.add(format!("{name} {total:?}"));
        }
        fn advance(&self, n: u64) {
            self.add(n.to_string());
        }
        fn note(&self, text: &str) {
            self.add(text.to_owned());
        }
        fn cancelled(&self) -> bool {
            self.0.lock().unwrap().len() >= 4
        }
    }

    fn work(monitor: &dyn Monitor) -> bool {
        monitor.stage("reading", Some(2));
        monitor.advance(1);
        monitor.note("one is broken");
        monitor.advance(1);
        monitor.cancelled()
    }

    #[test]
    fn a_monitor_behind_a_reference_hears_every_word_in_order_and_can_stop_the_work() {
        let recorder = Recorder::default();
        assert!(work(&recorder));
        assert_eq!(
            *recorder.0.lock().unwrap(),
            ["reading Some(2)", "1", "one is broken", "1"]
        );
    }

    #[test]
    fn the_silent_monitor_never_stops_the_work() {
        assert!(!work(&Silent));
    }
}
