use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::wire::fleet::{
    ActivateNodeRequest, HeartbeatRequest, HeartbeatResponse, NodeId, PullMessagesRequest,
    PullMessagesResponse, PushMessagesRequest, PushMessagesResponse, RegisterNodeRequest,
};
use crate::wire::message::{
    ConfirmMessageReceivedRequest, Empty, Message, Node, ObjectTree, PullObjectRequest,
    PullObjectResponse, PushObjectRequest, PushObjectResponse,
};
use crate::{Link, LinkError, NodeKey};

/// The Fleet service for the holder of a key.
#[derive(Clone)]
pub struct FleetService {
    link: Link,
    key: Arc<NodeKey>,
}

impl FleetService {
    /// The service behind `link`.
    pub fn new(link: Link, key: Arc<NodeKey>) -> Self {
        Self { link, key }
    }

    /// The connection.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Registers the key, and returns the node's id.
    ///
    /// # Errors
    /// [`LinkError::is_registration_closed`] where only the operator registers keys.
    pub fn register(&self) -> Result<u64, LinkError> {
        let request = RegisterNodeRequest { public_key: self.pem() };
        let NodeId { node_id } = self.call("register-node", &request)?;
        Ok(node_id)
    }

    /// Brings the node with the key online, with a heartbeat every `interval` seconds (10 to 1800), and returns its id.
    ///
    /// # Errors
    /// [`LinkError::is_activation_failed`] for a node that is online already, and for a key that is not registered.
    pub fn activate(&self, interval: f64) -> Result<u64, LinkError> {
        let request = ActivateNodeRequest { public_key: self.pem(), heartbeat_interval: interval };
        let NodeId { node_id } = self.call("activate-node", &request)?;
        Ok(node_id)
    }

    /// Takes the node offline.
    ///
    /// # Errors
    /// The SuperLink refuses, or does not answer.
    pub fn deactivate(&self, node: u64) -> Result<(), LinkError> {
        let Empty {} = self.call("deactivate-node", &NodeId { node_id: node })?;
        Ok(())
    }

    /// Sends a heartbeat; returns whether the SuperLink accepted it.
    ///
    /// # Errors
    /// The SuperLink refuses, or does not answer.
    pub fn heartbeat(&self, node: u64, interval: f64) -> Result<bool, LinkError> {
        let request = HeartbeatRequest { node: id(node), heartbeat_interval: interval };
        let HeartbeatResponse { success } = self.call("send-node-heartbeat", &request)?;
        Ok(success)
    }

    /// The next message for the node, if there is any. It is delivered once.
    ///
    /// # Errors
    /// The SuperLink refuses, or does not answer.
    pub fn pull_message(&self, node: u64) -> Result<Option<Message>, LinkError> {
        let PullMessagesResponse { messages_list } =
            self.call("pull-messages", &PullMessagesRequest { node: id(node) })?;
        Ok(messages_list.into_iter().next())
    }

    /// An object of a message.
    ///
    /// # Errors
    /// The SuperLink refuses, or does not answer.
    pub fn pull_object(
        &self,
        node: u64,
        run: u64,
        object: &str,
    ) -> Result<PullObjectResponse, LinkError> {
        let object_id = object.to_owned();
        self.call("pull-object", &PullObjectRequest { node: id(node), run_id: run, object_id })
    }

    /// Confirms that a message was received completely.
    ///
    /// # Errors
    /// The SuperLink refuses, or does not answer.
    pub fn confirm(&self, node: u64, run: u64, message: &str) -> Result<(), LinkError> {
        let message_object_id = message.to_owned();
        let request =
            ConfirmMessageReceivedRequest { node: id(node), run_id: run, message_object_id };
        let Empty {} = self.call("confirm-message-received", &request)?;
        Ok(())
    }

    /// Announces an answer that took `seconds` of work.
    ///
    /// # Errors
    /// The SuperLink refuses, or does not answer.
    pub fn push_message(
        &self,
        node: u64,
        message: Message,
        tree: ObjectTree,
        seconds: f64,
    ) -> Result<PushMessagesResponse, LinkError> {
        let request = PushMessagesRequest {
            node: id(node),
            messages_list: vec![message],
            message_object_trees: vec![tree],
            clientapp_runtime_list: vec![seconds],
        };
        self.call("push-messages", &request)
    }

    /// Sends an object of the answer that `session` announced; returns whether it was stored.
    ///
    /// # Errors
    /// The SuperLink refuses, or does not answer.
    pub fn push_object(
        &self,
        node: u64,
        run: u64,
        object: &str,
        content: &[u8],
        session: &str,
    ) -> Result<bool, LinkError> {
        let request = PushObjectRequest {
            node: id(node),
            run_id: run,
            object_id: object.to_owned(),
            object_content: content.to_vec(),
            session_id: session.to_owned(),
        };
        let PushObjectResponse { stored } = self.call("push-object", &request)?;
        Ok(stored)
    }

    fn call<Q: prost::Message, A: prost::Message + Default>(
        &self,
        rpc: &str,
        request: &Q,
    ) -> Result<A, LinkError> {
        self.link.call(&format!("/v1/fleet/{rpc}"), &|| self.headers(), request)
    }

    /// Header fields that identify the caller: the key, the time, and the signature of the time.
    fn headers(&self) -> Vec<(&'static str, String)> {
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00").to_string();
        let signature = self.key.sign(now.as_bytes());
        vec![
            ("flwr-public-key", STANDARD.encode(self.pem())),
            ("flwr-signature", STANDARD.encode(signature)),
            ("flwr-timestamp", now),
        ]
    }

    fn pem(&self) -> Vec<u8> {
        self.key.public_key().pem().as_bytes().to_vec()
    }
}

fn id(node: u64) -> Option<Node> {
    Some(Node { node_id: node })
}
