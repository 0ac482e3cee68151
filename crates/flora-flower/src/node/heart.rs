//! A node's heartbeats, from a thread of their own: training takes longer than they may be apart.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::services::FleetService;

/// Beats until it is dropped.
pub(super) struct Heart {
    end: Arc<AtomicBool>,
    /// The SuperLink says that it does not know the node.
    unheard: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// How long a dropped heart may go on.
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
                // A failure shows where messages are pulled, too.
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
        // A beat on its way may wait for an answer for long, and does no harm.
        drop(self.thread.take());
    }
}
