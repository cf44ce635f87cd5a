//! The choice of a driver, for clients: the same words and the same fallback as a server has.

use clap::ValueEnum;
use hioload_reactor::poll::PollDriver;
use hioload_reactor::{Driver, DriverConfig, StartError};

/// `--driver`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DriverArg {
    /// io_uring where the system allows it, otherwise poll
    Auto,
    /// io_uring (Linux 6.1 or later)
    Uring,
    /// epoll, kqueue or IOCP
    Poll,
}

/// Opens a driver on the calling thread for so many sockets.
pub(crate) fn open(choice: DriverArg, socket_count: usize) -> Result<Box<dyn Driver>, StartError> {
    let config = DriverConfig {
        entries: 4096,
        batch: 1024,
        // Sockets that are closing still have their slot.
        sockets_max: socket_count + 1024,
        ..DriverConfig::default()
    };
    match choice {
        DriverArg::Poll => poll(config),
        #[cfg(target_os = "linux")]
        DriverArg::Uring => uring(config),
        #[cfg(target_os = "linux")]
        DriverArg::Auto => uring(config.clone()).or_else(|_| poll(config)),
        #[cfg(not(target_os = "linux"))]
        DriverArg::Auto => poll(config),
        #[cfg(not(target_os = "linux"))]
        DriverArg::Uring => Err(StartError {
            what: "no io_uring here".to_owned(),
            cause: "it is a part of Linux".to_owned(),
            remedy: "Use --driver poll".to_owned(),
            errno: None,
        }),
    }
}

fn poll(config: DriverConfig) -> Result<Box<dyn Driver>, StartError> {
    Ok(Box::new(PollDriver::new(config)?))
}

#[cfg(target_os = "linux")]
fn uring(config: DriverConfig) -> Result<Box<dyn Driver>, StartError> {
    Ok(Box::new(hioload_reactor::uring::UringDriver::new(config)?))
}
