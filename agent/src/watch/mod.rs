//! What an agent sees of itself while it fires: whether it, and not the target, was what held votes up.

pub(crate) mod netstat;
pub(crate) mod sample;
pub(crate) mod stall;

/// A tree of files in place of /, for tests.
#[cfg(test)]
pub(crate) mod fake {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicU32, Ordering};

    /// Removed when dropped.
    pub(crate) struct Tree {
        root: PathBuf,
    }

    impl Tree {
        /// Without any file.
        pub(crate) fn new() -> Self {
            static NUMBER: AtomicU32 = AtomicU32::new(0);
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let root = std::env::temp_dir().join(format!("voteburst-watch-{}-{number}", std::process::id()));
            fs::create_dir_all(&root).unwrap();
            Self { root }
        }

        pub(crate) fn root(&self) -> &Path {
            &self.root
        }

        /// Writes a file, or another content into it.
        pub(crate) fn write(&self, path: &str, text: &str) {
            let path = self.root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.root);
        }
    }
}
