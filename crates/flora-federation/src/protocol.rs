//! Names of the messages between servers and sites on different machines, besides the round loop's own.
//!
//! A server first sends the queries [`HELLO`] and [`JOIN`], then the round loop's tasks. Their settings also contain
//! the round, the attempt and the run's token. A reply repeats them with the kind of the task, so that a stale reply
//! is recognised.

use crate::Kind;

/// The query that a site answers with its profile.
pub const HELLO: &str = "flora_hello";
/// The query that brings a site the run's plan. The site replies with its numbers of images.
pub const JOIN: &str = "flora_join";
/// The query that a site answers with an empty message, for any run. A site handles one message after another, so this
/// reply means that each task sent before was answered or is lost.
pub const HERE: &str = "flora_here";
/// A setting of the reply to [`HELLO`], as JSON.
pub const PROFILE: &str = "profile";
/// A setting of [`JOIN`], as JSON.
pub const PLAN: &str = "plan";
/// A metric of the reply to [`JOIN`].
pub const NUM_TEST_EXAMPLES: &str = "num-test-examples";
/// The round, from 0.
pub const ROUND: &str = "flora.round";
/// Number of earlier attempts at the round.
pub const ATTEMPT: &str = "flora.attempt";
/// The run's token.
pub const RUN: &str = "flora.run";
/// In a reply: the type of the answered message.
pub const KIND: &str = "flora.kind";
/// In a reply: seconds of work.
pub const SECONDS: &str = "flora.seconds";
/// In a reply: the site was restarted before it had replied, and repeated the task.
pub const AGAIN: &str = "flora.again";
/// In a reply to a training task: the round and the attempt of the client's previous training, as `3-0`, or empty if
/// it had not trained before.
pub const FROM: &str = "flora.from";
/// Flower's setting for the round, from 1.
pub const SERVER_ROUND: &str = "server-round";
/// First words of a site's refusal of a task whose run it does not know.
pub const NOT_JOINED: &str = "this site has not joined the run";

/// Flower's message type for a kind of task.
pub fn type_of(kind: &Kind) -> String {
    match kind {
        Kind::Train => "train".to_owned(),
        Kind::Evaluate => "evaluate".to_owned(),
        Kind::Query(name) => format!("query.{name}"),
    }
}
