//! Words of the library's `Monitor` → a bar, or plain lines, on standard error; Ctrl-C → its
//! `cancelled`.
//!
//! A person at a terminal sees an `indicatif` bar. That hides itself under `NO_COLOR` and on a dumb
//! terminal, where a person may be sitting too: there a line is written every few seconds.
//! Everywhere else there is no progress, only notes; and with `--quiet` nothing at all.

use std::{
    io::{self, IsTerminal, Write as _},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use wsidx::monitor::Monitor;

use crate::term;

/// Exit status after an interruption: 128 + SIGINT.
pub(crate) const INTERRUPTED: i32 = 130;
/// Between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Whether the user wants the program to stop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens for Ctrl-C and for the signals that ask a program to end. The first sets the flag
    /// and says so on standard error (unless `quiet`); the second ends the process at once with
    /// status 130.
    ///
    /// # Errors
    ///
    /// If the system refuses a handler. Where a signal is ignored already, as under `nohup`, it
    /// stays so.
    pub(crate) fn listen(quiet: bool) -> io::Result<Self> {
        let interrupt = Self::default();
        let flag = interrupt.clone();
        let installed = ctrlc::try_set_handler(move || {
            if flag.set() {
                std::process::exit(INTERRUPTED);
            }
            if !quiet {
                let _ = writeln!(io::stderr(), "\nstopping; once more to stop at once");
            }
        });
        match installed {
            // Somebody chose that a signal does nothing, as nohup and background jobs of a shell
            // do; so it stays.
            Ok(()) | Err(ctrlc::Error::MultipleHandlers) => Ok(interrupt),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    /// Notes that a signal has come; whether one had come before.
    pub(crate) fn set(&self) -> bool {
        self.0.swap(true, Ordering::SeqCst)
    }

    /// Whether the first signal has come.
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Face {
    /// A bar that moves.
    Bar,
    /// A line every few seconds.
    Lines,
    /// Not at all.
    Nothing,
}

impl Face {
    /// `wanted`: neither quiet nor a format for machines; `terminal`: a person is there;
    /// `bar_hides`: but a bar cannot be drawn.
    fn choose(wanted: bool, terminal: bool, bar_hides: bool) -> Self {
        match (wanted && terminal, bar_hides) {
            (false, _) => Self::Nothing,
            (true, false) => Self::Bar,
            (true, true) => Self::Lines,
        }
    }
}

/// The program's monitor. Dropping it clears the bar.
#[derive(Debug)]
pub(crate) struct Progress {
    face: Face,
    quiet: bool,
    interrupt: Interrupt,
    stage: Mutex<Stage>,
}

#[derive(Debug)]
struct Stage {
    bar: ProgressBar,
    pace: Option<Pace>,
}

impl Progress {
    /// A monitor that speaks on standard error: progress if a person is there and `wanted`, notes
    /// unless `quiet`.
    pub(crate) fn new(wanted: bool, quiet: bool, interrupt: Interrupt) -> Self {
        let bar_hides = ProgressDrawTarget::stderr().is_hidden();
        let face = Face::choose(wanted && !quiet, io::stderr().is_terminal(), bar_hides);
        Self {
            face,
            quiet,
            interrupt,
            stage: Mutex::new(Stage {
                bar: ProgressBar::hidden(),
                pace: None,
            }),
        }
    }

    fn with_stage(&self, act: impl FnOnce(&mut Stage)) {
        act(&mut self.stage.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Monitor for Progress {
    fn stage(&self, name: &'static str, total: Option<u64>) {
        self.with_stage(|stage| {
            stage.bar.finish_and_clear();
            match self.face {
                Face::Bar => stage.bar = bar(name, total),
                Face::Lines => stage.pace = Some(Pace::new(name, total, Instant::now())),
                Face::Nothing => {}
            }
        });
    }

    fn advance(&self, n: u64) {
        match self.face {
            Face::Nothing => {}
            Face::Bar => self.with_stage(|stage| stage.bar.inc(n)),
            Face::Lines => self.with_stage(|stage| {
                if let Some(line) = stage
                    .pace
                    .as_mut()
                    .and_then(|pace| pace.advance(n, Instant::now()))
                {
                    let _ = writeln!(io::stderr(), "{line}");
                }
            }),
        }
    }

    fn note(&self, text: &str) {
        if !self.quiet {
            let text = term::escape_text(text);
            self.with_stage(|stage| {
                stage.bar.suspend(|| {
                    let _ = writeln!(anstream::stderr(), "{text}");
                });
            });
        }
    }

    fn cancelled(&self) -> bool {
        self.interrupt.is_set()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.with_stage(|stage| stage.bar.finish_and_clear());
    }
}

/// A bar on standard error; a spinner where the total is unknown.
fn bar(name: &'static str, total: Option<u64>) -> ProgressBar {
    let template = if total.is_some() {
        "{msg} {wide_bar} {human_pos} of {human_len}  {per_sec}  {eta} left"
    } else {
        "{spinner} {msg} {human_pos}  {per_sec}  {elapsed}"
    };
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = total
        .map_or_else(ProgressBar::new_spinner, ProgressBar::new)
        .with_style(style)
        .with_message(name);
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

/// When a plain line is due, and what it says.
#[derive(Debug)]
struct Pace {
    name: &'static str,
    total: Option<u64>,
    done: u64,
    began: Instant,
    said: Instant,
}

impl Pace {
    fn new(name: &'static str, total: Option<u64>, now: Instant) -> Self {
        Self {
            name,
            total,
            done: 0,
            began: now,
            said: now,
        }
    }

    /// Counts `n` more; a line if the last one is long enough ago.
    fn advance(&mut self, n: u64, now: Instant) -> Option<String> {
        self.done = self.done.saturating_add(n);
        if now.saturating_duration_since(self.said) < LINE_EVERY {
            return None;
        }
        self.said = now;
        Some(self.line(now.saturating_duration_since(self.began)))
    }

    fn line(&self, elapsed: Duration) -> String {
        let (seconds, done) = (elapsed.as_secs_f64(), term::count(self.done));
        // `as` saturates, and a rate is for the eye only.
        let rate = if seconds > 0.0 {
            self.done as f64 / seconds
        } else {
            0.0
        };
        let Some(total) = self.total.filter(|&total| total > 0) else {
            return format!("{}: {done}, {rate:.0}/s", self.name);
        };
        let percent = u128::from(self.done) * 100 / u128::from(total);
        let left = total.saturating_sub(self.done) as f64 / rate;
        let left = Duration::try_from_secs_f64(left).map_or_else(
            |_| String::new(),
            |left| format!(", {} left", term::span(left)),
        );
        format!(
            "{}: {done} of {} ({percent} %), {rate:.0}/s{left}",
            self.name,
            term::count(total)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::TermLike;
    use rustix::process::{Pid, Signal, kill_process};
    use std::{
        io::{BufRead, BufReader},
        process::{Command, Stdio},
    };

    #[test]
    fn a_bar_is_for_a_person_who_wants_it_and_lines_are_for_one_whose_terminal_hides_it() {
        assert_eq!(Face::choose(true, true, false), Face::Bar);
        assert_eq!(Face::choose(true, true, true), Face::Lines);
        for (wanted, terminal) in [(false, true), (true, false), (false, false)] {
            assert_eq!(Face::choose(wanted, terminal, false), Face::Nothing);
            assert_eq!(Face::choose(wanted, terminal, true), Face::Nothing);
        }
    }

    /// A terminal of 90 columns that keeps the line it shows.
    #[derive(Clone, Debug, Default)]
    struct Screen(Arc<Mutex<String>>);

    impl Screen {
        fn text(&self) -> String {
            self.0.lock().unwrap().trim().to_owned()
        }
    }

    impl TermLike for Screen {
        fn width(&self) -> u16 {
            90
        }
        fn move_cursor_up(&self, _n: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _n: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _n: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _n: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            self.0.lock().unwrap().clear();
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn on_screen(bar: &ProgressBar) -> Screen {
        let screen = Screen::default();
        bar.set_draw_target(ProgressDrawTarget::term_like(Box::new(screen.clone())));
        screen
    }

    #[test]
    fn the_bar_shows_its_name_the_count_the_rate_and_the_time_left_and_goes() {
        let bar = bar("reading", Some(60_000));
        bar.disable_steady_tick();
        let screen = on_screen(&bar);
        bar.inc(1234);
        bar.tick();
        let text = screen.text();
        assert!(
            text.starts_with("reading ")
                && text.contains("1,234 of 60,000")
                && text.contains("/s")
                && text.ends_with("left"),
            "{text:?}"
        );
        bar.finish_and_clear();
        assert_eq!(screen.text(), "");
    }

    #[test]
    fn a_spinner_counts_where_the_total_is_unknown() {
        let bar = bar("walking", None);
        bar.disable_steady_tick();
        let screen = on_screen(&bar);
        bar.inc(5);
        bar.tick();
        assert!(screen.text().contains("walking 5"), "{:?}", screen.text());
    }

    #[test]
    fn a_line_is_due_every_few_seconds_and_not_before() {
        let start = Instant::now();
        let mut pace = Pace::new("reading", Some(60_000), start);
        assert_eq!(pace.advance(600, start + Duration::from_secs(4)), None);
        assert_eq!(
            pace.advance(600, start + Duration::from_secs(6)).as_deref(),
            Some("reading: 1,200 of 60,000 (2 %), 200/s, 4 m 54 s left")
        );
        assert_eq!(pace.advance(600, start + Duration::from_secs(10)), None);
        assert!(pace.advance(600, start + Duration::from_secs(11)).is_some());
    }

    #[test]
    fn a_line_says_what_it_can_when_nothing_is_done_or_the_total_is_unknown_or_wrong() {
        let start = Instant::now();
        assert_eq!(
            Pace::new("reading", Some(10), start).line(Duration::ZERO),
            "reading: 0 of 10 (0 %), 0/s"
        );
        assert_eq!(
            Pace {
                done: 50,
                ..Pace::new("walking", None, start)
            }
            .line(Duration::from_secs(10)),
            "walking: 50, 5/s"
        );
        assert_eq!(
            Pace {
                done: 20,
                ..Pace::new("reading", Some(10), start)
            }
            .line(Duration::from_secs(2)),
            "reading: 20 of 10 (200 %), 10/s, 0.0 s left"
        );
        assert_eq!(
            Pace {
                done: u64::MAX,
                ..Pace::new("x", Some(0), start)
            }
            .line(Duration::ZERO),
            "x: 18,446,744,073,709,551,615, 0/s"
        );
    }

    /// Not a test by itself: run by those below in a process of its own, which they watch.
    #[test]
    fn child_works_until_it_is_told_to_stop() {
        let Ok(mode) = std::env::var("PROGRESS_TEST_MODE") else {
            return;
        };
        let interrupt = Interrupt::listen(mode == "quiet").unwrap();
        let progress = Progress::new(true, mode == "quiet", interrupt);
        progress.stage("reading", Some(10));
        progress.advance(3);
        progress.note("a\u{1b}[2Jb.png: broken");
        println!("\nready");
        while !progress.cancelled() {
            std::thread::sleep(Duration::from_millis(5));
        }
        println!("cancelled");
        std::thread::sleep(Duration::from_secs(if mode == "ends" { 0 } else { 60 }));
    }

    /// Runs the child, signals it whenever it has said one of `words`, and returns its status and
    /// its standard error.
    fn signalled(mode: &str, words: &[&str]) -> (Option<i32>, String) {
        // The tests themselves may run where a shell has made signals be ignored; the child must
        // not.
        let mut child = Command::new("env")
            .arg("--default-signal=INT,TERM,HUP")
            .arg(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "--nocapture",
                "progress::tests::child_works_until_it_is_told_to_stop",
            ])
            .env("PROGRESS_TEST_MODE", mode)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for word in words {
            assert!(
                lines.any(|line| line.unwrap().trim_end() == *word),
                "the child never said {word}"
            );
            kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        }
        // Standard output is read to its end, so that the child's test harness can finish its
        // report.
        lines.for_each(drop);
        let out = child.wait_with_output().unwrap();
        (out.status.code(), String::from_utf8(out.stderr).unwrap())
    }

    #[test]
    fn the_first_ctrl_c_cancels_and_leaves_the_end_to_the_program() {
        let (status, talk) = signalled("ends", &["ready"]);
        assert_eq!(status, Some(0));
        assert!(
            talk.contains("stopping; once more to stop at once"),
            "{talk:?}"
        );
    }

    #[test]
    fn the_second_ctrl_c_ends_the_process_at_once_with_130() {
        assert_eq!(
            signalled("stays", &["ready", "cancelled"]).0,
            Some(INTERRUPTED)
        );
    }

    #[test]
    fn notes_are_escaped_and_quiet_says_nothing() {
        let (_, talk) = signalled("ends", &["ready"]);
        assert!(
            talk.contains("a\\x1b[2Jb.png: broken\n") && !talk.contains('\u{1b}'),
            "{talk:?}"
        );
        assert_eq!(
            signalled("quiet", &["ready", "cancelled"]),
            (Some(INTERRUPTED), String::new())
        );
    }
}
