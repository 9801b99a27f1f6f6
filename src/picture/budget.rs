//! The memory that decoding takes, shared by all threads of the process.
//!
//! A decode says what it will need before it begins, and waits while others hold what is left. So
//! eight threads that meet eight large images take no more than one budget, and not eight times the
//! memory of one. Small images neither wait nor count: there are at most as many of them at a time
//! as threads, and they must not pay for a lock.
//!
//! Nothing can wait for ever: whoever holds a part of the budget only decodes, and never waits for
//! another part of it ([`reserve`] asks a thread that holds one for nothing), and one that is alone
//! always begins.

use std::{
    cell::Cell,
    sync::{Condvar, Mutex, PoisonError},
};

/// Decoding that takes less is not counted.
const FREE: u64 = 4 << 20;

static BUDGET: Budget = Budget::new();

thread_local! {
    static HOLDS: Cell<bool> = const { Cell::new(false) };
}

/// Bytes in use, and the condition variable of the threads that wait for some.
struct Budget {
    held: Mutex<u64>,
    released: Condvar,
}

impl Budget {
    const fn new() -> Self {
        Self {
            held: Mutex::new(0),
            released: Condvar::new(),
        }
    }

    fn take(&self, bytes: u64, all: u64) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |held: &mut u64| *held > 0 && held.saturating_add(bytes) > all;
        let mut held = self
            .released
            .wait_while(held, full)
            .unwrap_or_else(PoisonError::into_inner);
        *held = held.saturating_add(bytes);
    }

    fn give_back(&self, bytes: u64) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        *held = held.saturating_sub(bytes);
        drop(held);
        self.released.notify_all();
    }
}

/// A part of the budget, given back when it is dropped; by the thread that took it.
#[derive(Debug, Default)]
pub(super) struct Reservation(u64);

/// Waits until `bytes` of a budget of `all` are free, and takes them.
pub(super) fn reserve(bytes: u64, all: u64) -> Reservation {
    if bytes < FREE || HOLDS.replace(true) {
        return Reservation(0);
    }
    BUDGET.take(bytes, all);
    Reservation(bytes)
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.0 > 0 {
            HOLDS.set(false);
            BUDGET.give_back(self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn threads_together_hold_no_more_than_the_budget_and_all_get_their_turn() {
        let (budget, now, most, turns) = (
            Budget::new(),
            AtomicU64::new(0),
            AtomicU64::new(0),
            AtomicU64::new(0),
        );
        std::thread::scope(|scope| {
            for thread in 1..=8_u64 {
                let (budget, now, most, turns) = (&budget, &now, &most, &turns);
                scope.spawn(move || {
                    for turn in 0..50 {
                        let bytes = 1 + (thread * 7 + turn) % 60;
                        budget.take(bytes, 100);
                        most.fetch_max(
                            now.fetch_add(bytes, Ordering::SeqCst) + bytes,
                            Ordering::SeqCst,
                        );
                        std::thread::yield_now();
                        now.fetch_sub(bytes, Ordering::SeqCst);
                        budget.give_back(bytes);
                        turns.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(most.into_inner() <= 100);
        assert_eq!((turns.into_inner(), *budget.held.lock().unwrap()), (400, 0));
    }

    #[test]
    fn one_alone_begins_whatever_it_needs_and_a_second_of_the_same_thread_does_not_wait() {
        let budget = Budget::new();
        budget.take(1_000, 100);
        budget.give_back(1_000);
        let first = reserve(FREE, FREE);
        let second = reserve(FREE, FREE);
        assert_eq!((first.0, second.0), (FREE, 0));
        drop(second);
        drop(first);
        assert_eq!(reserve(FREE, FREE).0, FREE);
    }
}
