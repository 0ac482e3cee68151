//! The model and the data sets that ship inside the program.

use std::io;
use std::path::{Path, PathBuf};

use flora::core::text;

use crate::output;

/// The folder that holds `path`, if the program brings it along: unpacked the first time that something is looked for in
/// it and found nowhere else.
pub(crate) fn folder(path: &Path) -> Option<io::Result<PathBuf>> {
    flora_examples::may_hold(path).then(|| {
        let was_there = flora_examples::folder().is_some_and(|folder| folder.is_dir());
        let folder = flora_examples::installed()?;
        if !was_there {
            let shown = text::path(&folder);
            output::error_line(format!(
                "unpacked the model and the data sets of flora into {shown}"
            ));
            name_other_versions();
        }
        Ok(folder)
    })
}

/// Names the folders of other versions, which a user may want to delete.
pub(crate) fn name_other_versions() {
    for folder in flora_examples::of_other_versions() {
        output::error_line(format!(
            "another version of flora unpacked its own into {}; delete that folder if the version is no longer used",
            text::path(&folder)
        ));
    }
}
