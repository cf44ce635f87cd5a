//! How many descriptors this process may have.
//!
//! The soft limit is often 1,024 for the sake of programs that use `select(2)`; this one does not,
//! so it takes what the hard limit allows.

/// Raises the soft limit to the hard one. Returns the limit now in force.
#[cfg(unix)]
pub(crate) fn raise() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let maximum = getrlimit(Resource::Nofile).maximum;
    // A refusal leaves the limit as it was, and that is what is returned.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    );
    to_count(getrlimit(Resource::Nofile).current)
}

#[cfg(unix)]
fn to_count(limit: Option<u64>) -> usize {
    limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    })
}

/// Elsewhere there is nothing to raise.
#[cfg(not(unix))]
pub(crate) fn raise() -> usize {
    usize::MAX
}
