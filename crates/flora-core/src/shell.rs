//! Quoting of paths in shell commands that users copy.

use std::path::Path;

/// Quotes a path for a POSIX shell, if it needs quotes.
pub fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:@".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_quoted_where_a_shell_would_split_it() {
        assert_eq!(quoted(Path::new("runs/quickstart-2")), "runs/quickstart-2");
        assert_eq!(quoted(Path::new("my runs/it's")), r"'my runs/it'\''s'");
        assert_eq!(quoted(Path::new("")), "''");
    }
}
