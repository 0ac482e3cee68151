//! A node's heartbeats, sent from a separate thread: training takes longer than the interval between them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::services::FleetService;

/// Sends heartbeats until it is dropped.
pub(super) struct Heart {
    end: Arc<AtomicBool>,
    /// Whether the SuperLink does not know the node.
    unheard: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// The longest time that a dropped heart continues.
const LOOK: Duration = Duration::from_millis(100);

impl Heart {
    pub(super) fn start(service: FleetService, node: u64, interval: f64) -> Self {
        let (end, unheard) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (ends, not_heard) = (Arc::clone(&end), Arc::clone(&unheard));
        let beat = move || {
            let looks = (interval / LOOK.as_secs_f64()) as u64;
            loop {
                for _ in 0..looks {
                    if ends.load(Ordering::SeqCst) || service.link().stop().is_raised() {
                        return;
                    }
                    thread::sleep(LOOK);
                }
                // Failures also appear where messages are pulled.
                let heard = service.heartbeat(node, interval);
                let refused = matches!(&heard, Ok(false)) || heard.is_err_and(|it| it.is_refused());
                not_heard.store(refused, Ordering::SeqCst);
            }
        };
        Self { end, unheard, thread: Some(thread::spawn(beat)) }
    }

    pub(super) fn is_unheard(&self) -> bool {
        self.unheard.load(Ordering::SeqCst)
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        self.end.store(true, Ordering::SeqCst);
        // A heartbeat in progress may wait long for a response, and does no harm.
        drop(self.thread.take());
    }
}
