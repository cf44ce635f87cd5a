//! The controller.

mod disk;

pub use self::disk::Disk;
