//! A file that appears whole, in place of what had its name, or not at all.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Dropped before [`Replacing::keep`], it leaves everything as it was.
pub struct Replacing {
    target: PathBuf,
    /// Beside the target; `None`: the target is a device or a pipe and is written to itself.
    part: Option<PathBuf>,
}

impl Replacing {
    /// What is to be written to, and what makes it the file of that name.
    pub fn create(path: &Path) -> io::Result<(Self, File)> {
        // Where the name is a link, what it leads to is replaced and not the link.
        let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let part = match fs::metadata(&target) {
            Ok(there) if there.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(there) if !there.is_file() => None,
            _ => {
                let mut name = target.clone().into_os_string();
                name.push(format!(".part-{}", std::process::id()));
                Some(PathBuf::from(name))
            }
        };
        let file = File::create(part.as_ref().unwrap_or(&target))?;
        Ok((Self { target, part }, file))
    }

    /// To be called when all is written.
    pub fn keep(mut self) -> io::Result<()> {
        let Some(part) = &self.part else {
            return Ok(());
        };
        fs::rename(part, &self.target)?;
        self.part = None;
        Ok(())
    }
}

impl Drop for Replacing {
    fn drop(&mut self) {
        if let Some(part) = &self.part {
            // What cannot be removed has a name that tells what it is.
            let _ = fs::remove_file(part);
        }
    }
}

/// Whether both names lead to one file, by links or otherwise.
pub fn is_same_file(one: &Path, other: &Path) -> bool {
    let identity = |path| fs::metadata(path).map(|there| (there.dev(), there.ino()));
    matches!((identity(one), identity(other)), (Ok(one), Ok(other)) if one == other)
}
