//! Building a ring: flags from best to plain, and what the kernel can do.
//!
//! Required: Linux 6.1 (`DEFER_TASKRUN`, multishot receive and accept, provided-buffer rings,
//! cancel by descriptor). Everything newer is optional and probed.

use std::io;

use io_uring::{IoUring, Probe, opcode};

use crate::driver::{DriverConfig, StartError};

/// A ring and what was found out while building it.
pub(super) struct Built {
    pub(super) ring: IoUring,
    pub(super) zero_copy: bool,
    pub(super) can_install: bool,
    pub(super) msg_ring: bool,
    pub(super) gather: bool,
}

/// Builds the best ring the kernel gives.
pub(super) fn build(config: &DriverConfig) -> Result<Built, StartError> {
    let mut ring = open(config).map_err(|error| refused(&error))?;
    let mut probe = Probe::new();
    ring.submitter()
        .register_probe(&mut probe)
        .map_err(|error| refused(&error))?;
    let required = [
        ("accept", opcode::AcceptMulti::CODE),
        ("receive", opcode::RecvMulti::CODE),
        ("send", opcode::Send::CODE),
        ("sendmsg", opcode::SendMsg::CODE),
        ("cancel", opcode::AsyncCancel2::CODE),
        ("close", opcode::Close::CODE),
        ("shutdown", opcode::Shutdown::CODE),
        ("connect", opcode::Connect::CODE),
    ];
    for (name, code) in required {
        if !probe.is_supported(code) {
            return Err(missing(name));
        }
    }
    enter(&mut ring).map_err(|error| refused(&error))?;
    Ok(Built {
        zero_copy: probe.is_supported(opcode::SendZc::CODE),
        can_install: probe.is_supported(opcode::FixedFdInstall::CODE),
        msg_ring: probe.is_supported(opcode::MsgRingData::CODE),
        gather: ring.params().is_feature_min_timeout(),
        ring,
    })
}

/// `SINGLE_ISSUER | DEFER_TASKRUN` need 6.1 and are not optional: without them completions
/// interrupt the worker at arbitrary points. `NO_SQARRAY` (6.6) is.
fn open(config: &DriverConfig) -> io::Result<IoUring> {
    let builder = |no_sqarray: bool| {
        let mut builder = IoUring::builder();
        builder
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_clamp()
            .setup_cqsize(config.entries.saturating_mul(4).clamp(4096, 65_536));
        if no_sqarray {
            builder.setup_no_sqarray();
        }
        builder.build(config.entries)
    };
    match builder(true) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => builder(false),
        other => other,
    }
}

/// Filters may let a ring be set up, and not be used.
fn enter(ring: &mut IoUring) -> io::Result<()> {
    // SAFETY: an operation that does nothing refers to no memory.
    let pushed = unsafe { ring.submission().push(&opcode::Nop::new().build()) };
    debug_assert!(pushed.is_ok(), "a new ring is empty");
    ring.submit_and_wait(1)?;
    ring.completion().next();
    Ok(())
}

/// Turns the kernel's answer into what, why, what to do.
pub(super) fn refused(error: &io::Error) -> StartError {
    let (cause, remedy) = match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => (
            "io_uring is forbidden here: a container's seccomp filter or kernel.io_uring_disabled",
            "Allow io_uring_setup, io_uring_enter and io_uring_register in the seccomp profile, \
             set sysctl kernel.io_uring_disabled=0, or use --driver poll",
        ),
        Some(libc::ENOSYS) => (
            "this kernel was built without io_uring",
            "Use Linux 6.1 or later with CONFIG_IO_URING, or --driver poll",
        ),
        Some(libc::EINVAL) => (
            "this kernel is too old: SINGLE_ISSUER and DEFER_TASKRUN need Linux 6.1",
            "Upgrade to Linux 6.1 or later, or use --driver poll",
        ),
        Some(libc::ENOMEM) => (
            "the locked-memory limit does not hold the rings",
            "Raise `ulimit -l` (LimitMEMLOCK= in systemd), lower --workers, or use --driver poll",
        ),
        Some(libc::EMFILE | libc::ENFILE) => (
            "the process has no descriptor left",
            "Raise `ulimit -n` (LimitNOFILE= in systemd) or lower --workers",
        ),
        _ => (
            "the kernel refused",
            "Use --driver poll, and report the error number",
        ),
    };
    StartError {
        what: format!("io_uring is not available ({error})"),
        cause: cause.to_owned(),
        remedy: remedy.to_owned(),
        errno: error.raw_os_error(),
    }
}

fn missing(operation: &str) -> StartError {
    StartError {
        what: format!("io_uring here cannot {operation}"),
        cause: "the kernel is older than Linux 6.1 or filters operations".to_owned(),
        remedy: "Upgrade to Linux 6.1 or later, or use --driver poll".to_owned(),
        errno: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_says_what_to_do() {
        for errno in [
            libc::EPERM,
            libc::ENOSYS,
            libc::EINVAL,
            libc::ENOMEM,
            libc::EMFILE,
            9999,
        ] {
            let text = refused(&io::Error::from_raw_os_error(errno)).to_string();
            assert!(text.contains("io_uring") && text.contains(". "), "{text}");
        }
        let text = refused(&io::Error::from_raw_os_error(libc::EPERM)).to_string();
        assert!(
            text.contains("--driver poll") && text.contains("seccomp"),
            "{text}"
        );
    }
}
