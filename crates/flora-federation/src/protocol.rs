//! What servers and sites say to each other across machines, besides the round loop's own messages.
//!
//! A server asks the queries [`HELLO`] and [`JOIN`], then the round loop's tasks. Their settings carry besides:
//! the round, the attempt at it, and the run's token. An answer repeats them, with the kind of the task, so that a
//! stale one is told from the one that is wanted.

use crate::Kind;

/// The query that a site answers with what it has.
pub const HELLO: &str = "flora_hello";
/// The query that brings a site the run's plan. It answers with the numbers of its images.
pub const JOIN: &str = "flora_join";
/// The query that a site answers with an empty message, whatever run it is of. A site does one thing after another, so
/// that the answer says that each task sent before was answered, or is lost.
pub const HERE: &str = "flora_here";
/// A setting of the answer to [`HELLO`], as JSON.
pub const PROFILE: &str = "profile";
/// A setting of [`JOIN`], as JSON.
pub const PLAN: &str = "plan";
/// A metric of the answer to [`JOIN`].
pub const NUM_TEST_EXAMPLES: &str = "num-test-examples";
/// The round, from 0.
pub const ROUND: &str = "flora.round";
/// How often the round was tried before.
pub const ATTEMPT: &str = "flora.attempt";
/// The run's token.
pub const RUN: &str = "flora.run";
/// In an answer: the type of the message that is answered.
pub const KIND: &str = "flora.kind";
/// In an answer: seconds of work.
pub const SECONDS: &str = "flora.seconds";
/// In an answer: the site was restarted before it had answered, and has done the task anew.
pub const AGAIN: &str = "flora.again";
/// In an answer to a training: the round and the attempt after whose training the client was when it began, as
/// `3-0`, or nothing if it had not trained before.
pub const FROM: &str = "flora.from";
/// Flower's setting of the round, from 1.
pub const SERVER_ROUND: &str = "server-round";
/// What the refusal of a task begins with when a site does not know the task's run.
pub const NOT_JOINED: &str = "this site has not joined the run";

/// Flower's type of a message.
pub fn type_of(kind: &Kind) -> String {
    match kind {
        Kind::Train => "train".to_owned(),
        Kind::Evaluate => "evaluate".to_owned(),
        Kind::Query(name) => format!("query.{name}"),
    }
}
