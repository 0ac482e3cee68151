use flora_federation::Event;

/// Who wants to know how a run goes: a progress bar, a file, a test.
pub trait Observer {
    /// Something worth telling happened.
    fn event(&mut self, event: &Event);

    /// A long phase got to `done` of `total`.
    fn progress(&mut self, phase: &str, done: usize, total: usize) {
        let _ = (phase, done, total);
    }
}

/// Nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&mut self, _event: &Event) {}
}
