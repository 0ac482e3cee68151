/// The medium on which tables are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// A terminal with this number of columns. Long cells are wrapped, long names are shortened in the middle, and a
    /// table that is still too wide is shown in parts.
    Terminal(usize),
    /// A file, or another program: unabbreviated values, one line per row, no rules.
    Plain,
}
