use serde::{Deserialize, Serialize};

use crate::{Result, SecaggError, Session};

/// A client's memory of its last attempt. It prevents a server from getting two sums that differ by one client, which
/// would reveal that client's update: the server would only have to claim that the first attempt failed.
///
/// Keep it with the client's identity. [`admit`](Self::admit) it before [`Client::new`](crate::Client::new), and call
/// [`opened`](Self::opened) before the reply of [`Stage::Opened`](crate::Stage::Opened) leaves.
///
/// It protects only as far as it remembers: a caller that restores an earlier `Past`, for example because the server
/// went back to an earlier round, permits further attempts at all rounds after it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Past {
    last: Option<Session>,
    opened: bool,
}

impl Past {
    /// Takes part in an attempt: of the same run, it must be a later round, or a later attempt at a round in which
    /// this client has not opened shares.
    ///
    /// # Errors
    ///
    /// [`SecaggError::Past`] for all others, which are not remembered.
    pub fn admit(&mut self, session: &Session) -> Result<()> {
        if let Some(last) = self.last.as_ref().filter(|last| last.run == session.run) {
            let problem = if (session.round, session.attempt) <= (last.round, last.attempt) {
                format!("the last one was round {}, attempt {}", last.round, last.attempt)
            } else if session.round == last.round && self.opened {
                format!("attempt {} at this round got this client's shares", last.attempt)
            } else {
                String::new()
            };
            if !problem.is_empty() {
                return Err(SecaggError::Past { session: session.to_string(), problem });
            }
        }
        *self = Self { last: Some(session.clone()), opened: false };
        Ok(())
    }

    /// Remembers that the client opens shares in the attempt that was admitted last.
    pub fn opened(&mut self) {
        self.opened = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_go_forward_and_end_with_the_opening() {
        let of = |round, attempt| Session { run: "r".into(), round, attempt };
        let mut past = Past::default();
        past.admit(&of(1, 0)).unwrap();
        assert!(past.admit(&of(1, 0)).is_err());
        past.admit(&of(1, 1)).unwrap();
        assert!(past.admit(&of(1, 0)).is_err());
        past.opened();
        let error = past.admit(&of(1, 2)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "run \"r\", round 1, attempt 2 is refused: attempt 1 at this round got this client's shares"
        );
        past.admit(&of(2, 0)).unwrap();
        assert!(past.admit(&of(1, 9)).is_err());
        past.admit(&Session { run: "another".into(), round: 0, attempt: 0 }).unwrap();
    }
}
