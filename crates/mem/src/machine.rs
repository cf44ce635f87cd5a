//! How much memory the process may take: what the machine has free, and what its control groups allow.
//!
//! Must not know what it is for. Sources: `MemAvailable` of `/proc/meminfo` (proc_meminfo(5)); for the control group of the
//! process and all above it `memory.max`, `memory.current` and `memory.stat` (cgroup v2) or `memory.limit_in_bytes`,
//! `memory.usage_in_bytes` and `memory.stat` (v1). Page cache a group can drop (`inactive_file`) counts as free.

use std::fs;
use std::path::{Path, PathBuf};

/// Memory available, and what bounds it.
///
/// ```
/// use hioload_mem::Machine;
///
/// let machine = Machine::detect();
/// println!("{} bytes available, by {}", machine.memory_available, machine.bound_by);
/// assert!(machine.memory_available > 0);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Bytes; `u64::MAX` where the system does not say.
    pub memory_available: u64,
    /// Where the figure comes from, for a message.
    pub bound_by: String,
}

/// Names of the files of one version of control groups.
struct GroupFiles {
    limit: &'static str,
    usage: &'static str,
    reclaimable: &'static str,
}

const V2: GroupFiles = GroupFiles {
    limit: "memory.max",
    usage: "memory.current",
    reclaimable: "inactive_file",
};

const V1: GroupFiles = GroupFiles {
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    reclaimable: "total_inactive_file",
};

impl Machine {
    /// The machine this runs on: the least of what is free and what each control group leaves.
    pub fn detect() -> Machine {
        Machine::read(Path::new("/"))
    }

    /// As [`Machine::detect`], with `proc` and `sys` below `root`.
    fn read(root: &Path) -> Machine {
        let mut machine = Machine {
            memory_available: u64::MAX,
            bound_by: "nothing: the system does not say".to_owned(),
        };
        let meminfo = fs::read_to_string(root.join("proc/meminfo")).unwrap_or_default();
        if let Some(available) = parse_available(&meminfo) {
            machine.bound(available, || "MemAvailable in /proc/meminfo".to_owned());
        }
        let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
        for line in groups.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
                continue;
            };
            if controllers.is_empty() {
                for mount in ["sys/fs/cgroup", "sys/fs/cgroup/unified"] {
                    machine.bound_by_groups(&root.join(mount), path, &V2);
                }
            } else if controllers.split(',').any(|name| name == "memory") {
                machine.bound_by_groups(&root.join("sys/fs/cgroup/memory"), path, &V1);
            }
        }
        machine
    }

    /// Lowers the figure to `available` if that is less.
    fn bound(&mut self, available: u64, by: impl FnOnce() -> String) {
        if available < self.memory_available {
            self.memory_available = available;
            self.bound_by = by();
        }
    }

    /// Applies the limit of a group and of all groups above it. In a container the path may be one of the host, which is not
    /// visible: then the mount itself is the group.
    fn bound_by_groups(&mut self, mount: &Path, path: &str, files: &GroupFiles) {
        let mut group: PathBuf = mount.join(path.trim_start_matches('/'));
        while group.starts_with(mount) {
            if let Some(left) = room_in_group(&group, files) {
                self.bound(left, || format!("{}", group.join(files.limit).display()));
            }
            if !group.pop() {
                break;
            }
        }
    }
}

/// Bytes a group may still take; `None` if it has no limit or cannot be read.
fn room_in_group(group: &Path, files: &GroupFiles) -> Option<u64> {
    let number = |file| {
        fs::read_to_string(group.join(file))
            .ok()?
            .trim()
            .parse::<u64>()
            .ok()
    };
    let limit = number(files.limit)?; // "max" is no number: no limit
    let usage = number(files.usage).unwrap_or(0);
    let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let reclaimable = stat.lines().find_map(|line| {
        let (name, value) = line.split_once(' ')?;
        (name == files.reclaimable).then(|| value.trim().parse::<u64>().ok())?
    });
    Some(limit.saturating_sub(usage.saturating_sub(reclaimable.unwrap_or(0))))
}

/// `MemAvailable` in bytes.
fn parse_available(meminfo: &str) -> Option<u64> {
    let value = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib = value
        .trim()
        .strip_suffix("kB")?
        .trim()
        .parse::<u64>()
        .ok()?;
    kib.checked_mul(1024)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    const MEMINFO: &str = "MemTotal:       8000 kB\nMemAvailable:   4000 kB\n";

    #[test]
    fn without_groups_what_is_free_counts() {
        let scratch = Scratch::new("machine-plain");
        scratch.write("proc/meminfo", MEMINFO);
        let machine = Machine::read(scratch.path());
        assert_eq!(machine.memory_available, 4_096_000);
        assert!(machine.bound_by.contains("MemAvailable"));
    }

    #[test]
    fn nothing_readable_is_no_bound() {
        let machine = Machine::read(Path::new("/nowhere/at/all"));
        assert_eq!(machine.memory_available, u64::MAX);
    }

    #[test]
    fn the_tightest_group_on_the_way_up_counts() {
        let scratch = Scratch::new("machine-v2");
        scratch.write("proc/meminfo", MEMINFO);
        scratch.write("proc/self/cgroup", "0::/a/b\n");
        scratch.write("sys/fs/cgroup/a/b/memory.max", "max\n");
        scratch.write("sys/fs/cgroup/a/b/memory.current", "10\n");
        scratch.write("sys/fs/cgroup/a/memory.max", "1000000\n");
        scratch.write("sys/fs/cgroup/a/memory.current", "600000\n");
        scratch.write(
            "sys/fs/cgroup/a/memory.stat",
            "anon 1\ninactive_file 100000\n",
        );
        scratch.write("sys/fs/cgroup/memory.max", "3000000\n");
        let machine = Machine::read(scratch.path());
        assert_eq!(machine.memory_available, 500_000);
        assert!(
            machine.bound_by.ends_with("sys/fs/cgroup/a/memory.max"),
            "{}",
            machine.bound_by
        );
    }

    #[test]
    fn version_one_and_a_path_of_the_host() {
        let scratch = Scratch::new("machine-v1");
        scratch.write("proc/meminfo", MEMINFO);
        scratch.write("proc/self/cgroup", "4:cpu,memory:/host/path\n0::/\n");
        scratch.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "2000000\n");
        scratch.write("sys/fs/cgroup/memory/memory.usage_in_bytes", "500000\n");
        scratch.write(
            "sys/fs/cgroup/memory/memory.stat",
            "total_inactive_file 100000\n",
        );
        assert_eq!(Machine::read(scratch.path()).memory_available, 1_600_000);
    }

    #[test]
    fn a_group_over_its_limit_has_nothing_left() {
        let scratch = Scratch::new("machine-over");
        scratch.write("proc/self/cgroup", "garbage\n0::/\n");
        scratch.write("sys/fs/cgroup/memory.max", "100\n");
        scratch.write("sys/fs/cgroup/memory.current", "150\n");
        assert_eq!(Machine::read(scratch.path()).memory_available, 0);
    }
}
