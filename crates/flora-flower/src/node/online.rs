//! Registration and activation of a node at a SuperLink.

use super::heart::Heart;
use super::{Node, NodeEvent};
use crate::{LinkError, NodeError};

impl Node<'_> {
    /// Brings the node online, however long it takes; `None` if it is asked to stop.
    pub(super) fn connect(&mut self) -> Result<Option<Heart>, NodeError> {
        loop {
            match self.online() {
                Ok(known) => {
                    self.found();
                    let node_id = self.node_id;
                    (self.tell)(&NodeEvent::Online { node_id, known });
                    return Ok(Some(Heart::start(
                        self.service.clone(),
                        node_id,
                        self.config.heartbeat,
                    )));
                }
                Err(NodeError::Link(LinkError::Stopped { .. })) => return Ok(None),
                Err(NodeError::Link(error)) if error.is_unreachable() => self.lost(&error),
                Err(error) => return Err(error),
            }
        }
    }

    /// Registers or activates the node; returns whether the key was known.
    fn online(&mut self) -> Result<bool, NodeError> {
        let interval = self.config.heartbeat;
        let (id, known) = match self.service.register() {
            Ok(id) => (id, false),
            // The key is known, or only the operator can register keys.
            Err(error) if error.is_refused() => (self.activate(error)?, true),
            Err(error) => return Err(error.into()),
        };
        self.node_id = id;
        if !known {
            self.node_id = self.service.activate(interval)?;
        }
        self.folder.remember(self.node_id)?;
        Ok(known)
    }

    /// Activates a node with a known key; one that did not go offline is deactivated first.
    fn activate(&mut self, refusal: LinkError) -> Result<u64, NodeError> {
        let interval = self.config.heartbeat;
        let error = match self.service.activate(interval) {
            Ok(id) => return Ok(id),
            Err(error) if error.is_activation_failed() => error,
            Err(error) => return Err(error.into()),
        };
        // The key is not registered, or the node did not go offline.
        let Some(id) = self.folder.remembered() else {
            return Err(match refusal.is_registration_closed() {
                true => NodeError::NotRegistered { key: self.folder.public_key_path() },
                false => error.into(),
            });
        };
        match self.service.deactivate(id) {
            Ok(()) => {}
            Err(_) if refusal.is_registration_closed() => {
                return Err(NodeError::NotRegistered { key: self.folder.public_key_path() });
            }
            Err(error) => return Err(error.into()),
        }
        Ok(self.service.activate(interval)?)
    }
}
