//! Short, unique names of files.

use std::collections::{BTreeSet, HashMap};
use std::path::{Component, Path};

/// The shortest suffix of each path that distinguishes it from the others, with `/` between the parts: `1.png`, or
/// `site-a/1.png` if another path ends in `1.png`, too.
///
/// Equal paths are the same file and get the same name. Bytes that are not UTF-8 are replaced.
pub fn shortest_endings<P: AsRef<Path>>(paths: &[P]) -> Vec<String> {
    let parts: Vec<Vec<String>> = paths.iter().map(|path| parts(path.as_ref())).collect();
    let mut lengths = vec![1; parts.len()];
    let mut open: Vec<usize> = (0..parts.len()).collect();
    while !open.is_empty() {
        // A path that was already unique may collide with a suffix that has grown.
        let mut by_ending: HashMap<&[String], BTreeSet<&[String]>> = HashMap::new();
        for (parts, &length) in parts.iter().zip(&lengths) {
            by_ending.entry(ending(parts, length)).or_default().insert(parts);
        }
        let is_alike = |&path: &usize| {
            let (parts, length) = (&parts[path], lengths[path]);
            length < parts.len() && by_ending[ending(parts, length)].len() > 1
        };
        open = (0..parts.len()).filter(is_alike).collect();
        for &path in &open {
            lengths[path] += 1;
        }
    }
    let joined = |(parts, &length): (&Vec<String>, &usize)| match ending(parts, length) {
        [root, rest @ ..] if root == "/" => format!("/{}", rest.join("/")),
        ending => ending.join("/"),
    };
    parts.iter().zip(&lengths).map(joined).collect()
}

fn parts(path: &Path) -> Vec<String> {
    let shown = path.components().filter(|part| !matches!(part, Component::CurDir));
    shown.map(|part| part.as_os_str().to_string_lossy().into_owned()).collect()
}

fn ending(parts: &[String], length: usize) -> &[String] {
    &parts[parts.len().saturating_sub(length)..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_are_as_long_as_they_must_be() {
        for (paths, endings) in [
            (&["a/1.png", "b/2.png"][..], &["1.png", "2.png"][..]),
            (
                &["x/site-a/1.png", "x/site-b/1.png", "x/2.png"],
                &["site-a/1.png", "site-b/1.png", "2.png"],
            ),
            (&["a/x/1.png", "b/x/1.png", "b/y/1.png"], &["a/x/1.png", "b/x/1.png", "y/1.png"]),
            // One path is the end of the other.
            (&["1.png", "a/1.png", "b/a/1.png"], &["1.png", "a/1.png", "b/a/1.png"]),
            (&["/1.png", "/a/1.png"], &["/1.png", "a/1.png"]),
            // The same file.
            (&["a/1.png", "./a/1.png", "a//1.png"], &["1.png", "1.png", "1.png"]),
            (&["../1.png", "../../1.png"], &["../1.png", "../../1.png"]),
            (&[], &[]),
            (&[""], &[""]),
        ] {
            assert_eq!(shortest_endings(paths), endings);
        }
    }

    #[test]
    fn different_files_are_called_differently() {
        let mut paths = Vec::new();
        for site in 0..30 {
            for class in 0..10 {
                for image in 0..10 {
                    paths.push(format!("data/site-{site}/{}/{image}.png", class % 7));
                    paths.push(format!("data/site-{site}/more/{class}/{image}.png"));
                }
            }
        }
        let endings = shortest_endings(&paths);
        let pairs: BTreeSet<_> = paths.iter().zip(&endings).collect();
        let names: BTreeSet<_> = endings.iter().collect();
        assert_eq!(names.len(), pairs.len());
    }
}
