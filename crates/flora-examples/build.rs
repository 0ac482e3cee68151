//! Provides this crate's half of the archive.

mod archive;

fn main() {
    archive::provide(0);
}
