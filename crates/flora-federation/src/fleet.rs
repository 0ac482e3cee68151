use crate::{
    ClientError, ClientInfo, EvaluateInstruction, EvaluateReply, FitInstruction, FitReply,
};

/// The clients of a federation and the way to reach them.
///
/// A fleet calls `on_reply` on the caller's thread as each answer arrives, in any order, and
/// returns one answer for each of `ids`, in the order of `ids`.
pub trait Fleet {
    /// Who is there, sorted by id.
    fn clients(&self) -> Vec<ClientInfo>;

    /// Lets the clients `ids` train. A client that is unknown, fails, or panics is an `Err` in its
    /// place.
    fn fit(
        &mut self,
        ids: &[String],
        instruction: &FitInstruction,
        on_reply: &mut dyn FnMut(&Result<FitReply, ClientError>),
    ) -> Vec<Result<FitReply, ClientError>>;

    /// Lets the clients `ids` test; as [`fit`](Self::fit).
    fn evaluate(
        &mut self,
        ids: &[String],
        instruction: &EvaluateInstruction,
        on_reply: &mut dyn FnMut(&Result<EvaluateReply, ClientError>),
    ) -> Vec<Result<EvaluateReply, ClientError>>;
}
