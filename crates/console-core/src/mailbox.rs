//! A question to another CPU, and its answer, without waiting.
//!
//! One side asks, the other answers, each when it comes by. What lies between is *idle*, *posted* or *answered*, under a
//! lock that both sides only try to take: who finds it taken goes on and comes back. So neither side ever waits for the
//! other, whatever became of that. A new question takes the place of an old one; a [`Ticket`] tells the answer to one
//! from the answer to another that was given up.

use core::sync::atomic::{AtomicBool, Ordering};

use spin::Mutex;

/// One question at a time from one side to the other.
#[derive(Debug)]
pub struct Mailbox<Q, A> {
    /// Whether a question waits: what the answering side looks at, often. True whenever there is one; changed under the
    /// lock.
    is_posted: AtomicBool,
    inside: Mutex<Inside<Q, A>>,
}

/// Which question it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

#[derive(Debug)]
struct Inside<Q, A> {
    /// The ticket given out last.
    last: u64,
    content: Content<Q, A>,
}

/// With a tag of its own, so that a new mailbox, *idle*, is all zero: an image need not hold it.
#[derive(Debug)]
#[repr(u8)]
enum Content<Q, A> {
    Idle,
    /// The question with the last ticket.
    Posted(Q),
    /// The answer to it.
    Answered(A),
}

impl<Q: Copy, A> Mailbox<Q, A> {
    /// Nothing asked.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            is_posted: AtomicBool::new(false),
            inside: Mutex::new(Inside {
                last: 0,
                content: Content::Idle,
            }),
        }
    }

    /// Asks. What was asked before and not answered is not answered any more, and an answer that was there is gone.
    ///
    /// `None` while the other side is at it: to be tried again.
    pub fn post(&self, question: Q) -> Option<Ticket> {
        let mut inside = self.inside.try_lock()?;
        inside.last += 1;
        inside.content = Content::Posted(question);
        self.is_posted.store(true, Ordering::Release);
        Some(Ticket(inside.last))
    }

    /// Answers what was asked, if anything was. Says whether it did.
    ///
    /// Costs one load where nothing was asked.
    pub fn serve(&self, answer: impl FnOnce(Q) -> A) -> bool {
        if !self.is_posted.load(Ordering::Acquire) {
            return false;
        }
        // The asking side is at it, and the question stays.
        let Some(mut inside) = self.inside.try_lock() else {
            return false;
        };
        let Content::Posted(question) = inside.content else {
            return false;
        };
        inside.content = Content::Answered(answer(question));
        self.is_posted.store(false, Ordering::Release);
        true
    }

    /// What `read` makes of the answer to the question of `ticket`; as often as wanted, until the next question.
    ///
    /// `None` while there is none, or the other side is at it.
    pub fn read<T>(&self, ticket: Ticket, read: impl FnOnce(&A) -> T) -> Option<T> {
        let inside = self.inside.try_lock()?;
        match &inside.content {
            Content::Answered(answer) if inside.last == ticket.0 => Some(read(answer)),
            _ => None,
        }
    }

    /// Takes a question back that has not been answered. Does nothing while the other side is at it: then it is too late.
    pub fn withdraw(&self, ticket: Ticket) {
        let Some(mut inside) = self.inside.try_lock() else {
            return;
        };
        if inside.last == ticket.0 && matches!(inside.content, Content::Posted(_)) {
            inside.content = Content::Idle;
            self.is_posted.store(false, Ordering::Release);
        }
    }
}

impl<Q: Copy, A> Default for Mailbox<Q, A> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::{sync::atomic::AtomicU32, thread};

    #[test]
    fn question_is_answered_once_and_the_answer_stays() {
        let mailbox = Mailbox::<u32, u32>::new();
        assert!(!mailbox.serve(|_| unreachable!("nothing was asked")));
        let ticket = mailbox.post(20).unwrap();
        assert_eq!(mailbox.read(ticket, |answer| *answer), None);
        assert!(mailbox.serve(|question| question + 1));
        assert!(!mailbox.serve(|_| unreachable!("it was answered")));
        for _ in 0..2 {
            assert_eq!(mailbox.read(ticket, |answer| *answer), Some(21));
        }
    }

    #[test]
    fn answer_to_what_was_given_up_is_nobodys() {
        let mailbox = Mailbox::<u32, u32>::new();
        let first = mailbox.post(1).unwrap();
        mailbox.serve(|question| question);
        let second = mailbox.post(2).unwrap();
        assert_eq!(mailbox.read(first, |answer| *answer), None);
        mailbox.serve(|question| question);
        assert_eq!(mailbox.read(first, |answer| *answer), None);
        assert_eq!(mailbox.read(second, |answer| *answer), Some(2));
    }

    #[test]
    fn question_taken_back_is_not_answered() {
        let mailbox = Mailbox::<u32, u32>::new();
        let ticket = mailbox.post(1).unwrap();
        mailbox.withdraw(ticket);
        assert!(!mailbox.serve(|_| unreachable!("it was taken back")));
        let next = mailbox.post(2).unwrap();
        mailbox.withdraw(ticket);
        assert!(
            mailbox.serve(|question| question),
            "only one's own question is taken back"
        );
        mailbox.withdraw(next);
        assert_eq!(mailbox.read(next, |answer| *answer), Some(2));
    }

    #[test]
    fn who_comes_while_it_is_answered_goes_on() {
        let mailbox = Mailbox::<u32, u32>::new();
        let ticket = mailbox.post(1).unwrap();
        mailbox.serve(|question| {
            assert_eq!(mailbox.post(2), None);
            assert_eq!(mailbox.read(ticket, |answer| *answer), None);
            assert!(!mailbox.serve(|_| unreachable!("it is being answered")));
            mailbox.withdraw(ticket);
            question
        });
        assert_eq!(mailbox.read(ticket, |answer| *answer), Some(1));
    }

    #[test]
    fn two_threads_never_mistake_an_answer() {
        const QUESTIONS: u32 = if cfg!(miri) { 50 } else { 2_000 };
        let mailbox = Mailbox::<u32, u32>::new();
        let answered = AtomicU32::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                while answered.load(Ordering::Acquire) < QUESTIONS {
                    if !mailbox.serve(|question| question.wrapping_mul(3)) {
                        thread::yield_now();
                    }
                }
            });
            for question in 0..QUESTIONS {
                let ticket = loop {
                    if let Some(ticket) = mailbox.post(question) {
                        break ticket;
                    }
                };
                // Every third is given up at once.
                if question % 3 != 0 {
                    let answer = loop {
                        if let Some(answer) = mailbox.read(ticket, |answer| *answer) {
                            break answer;
                        }
                        thread::yield_now();
                    };
                    assert_eq!(answer, question * 3);
                }
                answered.fetch_add(1, Ordering::AcqRel);
            }
        });
    }
}
