//! Who may ask when: a few questions at once, or one alone.
//!
//! Guarantees: at most `at_once_max` turns at a time, and none beside one that is alone; who waits to be alone comes before
//! those who come later. It does not know what is asked.

use std::sync::{Condvar, Mutex, PoisonError};

use super::store::lock;

/// Turns of one store.
pub(super) struct Turns {
    at_once_max: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    running: usize,
    /// One turn runs alone.
    alone: bool,
    waiting_to_be_alone: usize,
}

/// A turn; over when it is dropped.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
}

impl Turns {
    pub(super) fn new(at_once_max: usize) -> Self {
        Turns { at_once_max, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Waits for a turn beside others.
    pub(super) fn beside_others(&self) -> Turn<'_> {
        let mut state = self.wait_while(|state| {
            state.alone || state.waiting_to_be_alone > 0 || state.running >= self.at_once_max
        });
        state.running += 1;
        Turn { turns: self }
    }

    /// Waits until nobody else has a turn.
    pub(super) fn alone(&self) -> Turn<'_> {
        lock(&self.state).waiting_to_be_alone += 1;
        let mut state = self.wait_while(|state| state.running > 0);
        state.waiting_to_be_alone -= 1;
        state.running = 1;
        state.alone = true;
        Turn { turns: self }
    }

    fn wait_while(&self, waits: impl Fn(&State) -> bool) -> std::sync::MutexGuard<'_, State> {
        self.changed
            .wait_while(lock(&self.state), |state| waits(state))
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.turns.state);
        state.running -= 1;
        state.alone = false;
        drop(state);
        self.turns.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    #[test]
    fn turns_are_bounded_and_one_alone_has_nobody_beside_it() {
        let turns = Turns::new(2);
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for number in 0..12 {
                let (turns, running, most) = (&turns, &running, &most);
                scope.spawn(move || {
                    for round in 0..200 {
                        let is_alone = (number + round) % 5 == 0;
                        let turn = if is_alone { turns.alone() } else { turns.beside_others() };
                        let now = running.fetch_add(1, SeqCst) + 1;
                        most.fetch_max(now, SeqCst);
                        assert!(now <= if is_alone { 1 } else { 2 });
                        std::thread::yield_now();
                        running.fetch_sub(1, SeqCst);
                        drop(turn);
                    }
                });
            }
        });
        assert_eq!(most.into_inner(), 2, "two ran side by side");
    }
}
