/// What tables are shown on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// A terminal of so many columns. Long cells are broken into lines, long names lose their middles, and a
    /// table that is too wide all the same is shown in parts.
    Terminal(usize),
    /// A file, or another program: whole values, a line a row, no rules.
    Plain,
}
