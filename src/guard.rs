//! Code of other crates that may panic on damaged bytes (decoders of images, sled) → its answer, or
//! none.
//!
//! A panic is caught where it happens, so the crate must be compiled with `panic = "unwind"`, as it
//! is unless a profile says otherwise; with `panic = "abort"` one damaged image would end the
//! process, and the crate does not compile. `cargo rustc --lib -- -C panic=abort` shows that.
//!
//! Before a panic is caught, the hook of the process runs ([`std::panic::set_hook`]), and the usual
//! one prints. The hook belongs to the program and not to a library, so it stays as it is until the
//! program calls [`silence_decoder_panics`].

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    sync::Once,
};

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Set for its lifetime, also when a panic ends it.
struct Mark(bool);

impl Mark {
    fn set() -> Self {
        Self(GUARDED.replace(true))
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        GUARDED.set(self.0);
    }
}

/// What `work` answers; `None` if it panicked. It must leave nothing half done that is used
/// afterwards.
pub(crate) fn catch<T>(work: impl FnOnce() -> T) -> Option<T> {
    let _mark = Mark::set();
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// Whether a panic of this thread would be caught here and become an answer.
pub fn is_guarded() -> bool {
    GUARDED.get()
}

/// From here on, panics that the library catches are not printed: the hook of the process is
/// replaced by one that passes all others on to it.
///
/// A program calls this once, after it has set a hook of its own; calling it again does nothing.
///
/// # Panics
/// On a thread that is panicking.
pub fn silence_decoder_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            // sled also panics on threads of its own, which end quietly.
            let in_sled = info
                .location()
                .is_some_and(|at| at.file().contains("/sled-"));
            if !in_sled && !is_guarded() {
                before(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_caught_panic_is_no_answer_and_is_not_printed_once_the_program_says_so() {
        static HEARD: AtomicUsize = AtomicUsize::new(0);
        let here = std::thread::current().id();
        let usual = take_hook();
        set_hook(Box::new(move |info| {
            if std::thread::current().id() == here {
                HEARD.fetch_add(1, Ordering::Relaxed);
            } else {
                usual(info);
            }
        }));
        assert_eq!(
            (catch(|| 1), catch::<u8>(|| panic!("damaged"))),
            (Some(1), None)
        );
        assert_eq!(HEARD.load(Ordering::Relaxed), 1);
        silence_decoder_panics();
        silence_decoder_panics();
        assert_eq!(catch::<u8>(|| panic!("damaged")), None);
        assert_eq!((HEARD.load(Ordering::Relaxed), is_guarded()), (1, false));
        assert!(catch_unwind(|| panic!("a mistake")).is_err());
        assert_eq!(
            HEARD.load(Ordering::Relaxed),
            2,
            "what is not caught here is told"
        );
    }
}
