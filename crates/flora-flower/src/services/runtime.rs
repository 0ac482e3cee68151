use prost::Message as _;

use super::SuperExecSecret;
use crate::wire::message::{
    ConfirmMessageReceivedRequest, Empty, Message, Node, ObjectTree, PullObjectRequest,
    PullObjectResponse, PushObjectRequest, PushObjectResponse, SUPERLINK,
};
use crate::wire::runtime::{
    AcquireTaskRequest, AcquireTaskResponse, GetNodesResponse, NodeInfo, PullMessagesRequest,
    PullMessagesResponse, PullTaskInputResponse, PushLogsRequest, PushMessagesRequest,
    PushMessagesResponse, PushTaskOutputRequest,
};
use crate::{Link, LinkError};

/// The Runtime service for the process that serves a run.
#[derive(Debug, Clone)]
pub struct RuntimeService {
    link: Link,
    token: String,
    run: u64,
}

/// The server's task of a run.
#[derive(Debug)]
pub struct AcquiredTask {
    /// The service for this task.
    pub service: RuntimeService,
    /// The run.
    pub run_id: u64,
}

/// The method name in the signature for taking a task.
const ACQUIRE: &str = "/flwr.proto.Runtime/AcquireTask";

impl RuntimeService {
    /// Takes the server's task of a waiting run, if there is any: of the app with this hash, or of any app without one.
    /// A SuperLink may require a `secret`.
    ///
    /// # Errors
    /// The SuperLink refuses, or does not answer.
    pub fn acquire(
        link: &Link,
        fab_hash: Option<&str>,
        secret: Option<&SuperExecSecret>,
    ) -> Result<Option<AcquiredTask>, LinkError> {
        let of_any = fab_hash.is_none().then(|| "flwr-serverapp".to_owned());
        let request = AcquireTaskRequest {
            supported_task_types: of_any.into_iter().collect(),
            agentapp_fab_hashes: fab_hash.map(str::to_owned).into_iter().collect(),
        };
        let body = request.encode_to_vec();
        let headers = || secret.map_or_else(Vec::new, |secret| secret.headers(ACQUIRE, &body));
        let response: AcquireTaskResponse =
            link.call("/v1/runtime/acquire-task", &headers, &request)?;
        let AcquireTaskResponse { task, token } = response;
        Ok(task.filter(|_| !token.is_empty()).map(|task| {
            let (link, run_id) = (link.clone(), task.run_id);
            AcquiredTask { service: Self { link, token, run: run_id }, run_id }
        }))
    }

    /// The connection.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// The run.
    pub fn run_id(&self) -> u64 {
        self.run
    }

    /// Begins the run.
    ///
    /// # Errors
    /// The SuperLink refuses, or does not answer.
    pub fn pull_input(&self) -> Result<PullTaskInputResponse, LinkError> {
        self.call("pull-task-input", &Empty {})
    }

    /// Sends a heartbeat, which is due at least every 60 s.
    ///
    /// # Errors
    /// The SuperLink refuses, or does not answer.
    pub fn heartbeat(&self) -> Result<bool, LinkError> {
        let PushObjectResponse { stored: success } = self.call("send-task-heartbeat", &Empty {})?;
        Ok(success)
    }

    /// The nodes that are online.
    ///
    /// # Errors
    /// The SuperLink refuses, or does not answer.
    pub fn nodes(&self) -> Result<Vec<NodeInfo>, LinkError> {
        let GetNodesResponse { nodes } = self.call("get-nodes", &Empty {})?;
        Ok(nodes)
    }

    /// Announces instructions.
    ///
    /// # Errors
    /// The SuperLink refuses, or does not answer.
    pub fn push_messages(
        &self,
        messages_list: Vec<Message>,
        message_object_trees: Vec<ObjectTree>,
    ) -> Result<PushMessagesResponse, LinkError> {
        self.call("push-messages", &PushMessagesRequest { messages_list, message_object_trees })
    }

    /// The available answers to the instructions with these ids. They are delivered once.
    ///
    /// # Errors
    /// The SuperLink refuses, or does not answer.
    pub fn pull_messages(&self, message_ids: Vec<String>) -> Result<Vec<Message>, LinkError> {
        let PullMessagesResponse { messages_list } =
            self.call("pull-messages", &PullMessagesRequest { message_ids })?;
        Ok(messages_list)
    }

    /// An object of an answer.
    ///
    /// # Errors
    /// The SuperLink refuses, or does not answer.
    pub fn pull_object(&self, object: &str) -> Result<PullObjectResponse, LinkError> {
        let object_id = object.to_owned();
        self.call("pull-object", &PullObjectRequest { node: us(), run_id: self.run, object_id })
    }

    /// Confirms that an answer was received completely.
    ///
    /// # Errors
    /// The SuperLink refuses, or does not answer.
    pub fn confirm(&self, message: &str) -> Result<(), LinkError> {
        let request = ConfirmMessageReceivedRequest {
            node: us(),
            run_id: self.run,
            message_object_id: message.to_owned(),
        };
        let Empty {} = self.call("confirm-message-received", &request)?;
        Ok(())
    }

    /// Sends an object of the instructions that `session` announced; returns whether it was stored.
    ///
    /// # Errors
    /// The SuperLink refuses, or does not answer.
    pub fn push_object(
        &self,
        object: &str,
        content: &[u8],
        session: &str,
    ) -> Result<bool, LinkError> {
        let request = PushObjectRequest {
            node: us(),
            run_id: self.run,
            object_id: object.to_owned(),
            object_content: content.to_vec(),
            session_id: session.to_owned(),
        };
        let PushObjectResponse { stored } = self.call("push-object", &request)?;
        Ok(stored)
    }

    /// Sends lines for `flwr log`, once: a run does not wait for its log.
    ///
    /// # Errors
    /// The SuperLink refuses, or does not answer.
    pub fn push_logs(&self, logs: Vec<String>) -> Result<(), LinkError> {
        let request = PushLogsRequest { node: us(), run_id: self.run, logs };
        let token = || self.token();
        let Empty {} = self.link.call_once("/v1/runtime/push-logs", &token, &request)?;
        Ok(())
    }

    /// Ends the run: `completed`, `failed` or `stopped`. `context` is that of the input.
    ///
    /// # Errors
    /// The SuperLink refuses, or does not answer.
    pub fn push_output(
        &self,
        context: Vec<u8>,
        sub_status: &str,
        details: &str,
    ) -> Result<(), LinkError> {
        let (sub_status, details) = (sub_status.to_owned(), details.to_owned());
        let request = PushTaskOutputRequest { context, sub_status, details };
        let Empty {} = self.call("push-task-output", &request)?;
        Ok(())
    }

    fn call<Q: prost::Message, A: prost::Message + Default>(
        &self,
        rpc: &str,
        request: &Q,
    ) -> Result<A, LinkError> {
        self.link.call(&format!("/v1/runtime/{rpc}"), &|| self.token(), request)
    }

    fn token(&self) -> Vec<(&'static str, String)> {
        vec![("flwr-task-token", self.token.clone())]
    }
}

fn us() -> Option<Node> {
    Some(Node { node_id: SUPERLINK })
}
