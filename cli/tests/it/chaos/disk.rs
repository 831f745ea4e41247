//! A small disk of its own for a data directory, and filling it.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// A mounted file system in memory; it goes with this.
pub(super) struct Disk(PathBuf);

impl Disk {
    /// Or why there cannot be one here.
    pub(super) fn mount(at: &Path, size: &str) -> Result<Self, String> {
        fs::create_dir_all(at).expect("the directory is writable");
        let option = format!("size={size}");
        mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), Some(option.as_str()))
            .map_err(|errno| format!("no file system can be mounted here ({errno})"))?;
        Ok(Self(at.to_owned()))
    }

    /// Takes all the room until what is returned is dropped.
    pub(super) fn fill(&self) -> Ballast {
        let path = self.0.join("ballast");
        let mut file = File::create(&path).expect("a name takes no room");
        let block = vec![7; 64 * 1024];
        while file.write_all(&block).is_ok() {}
        while file.write_all(&block[..512]).is_ok() {}
        Ballast(path)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

/// What fills the disk.
pub(super) struct Ballast(PathBuf);

impl Drop for Ballast {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
