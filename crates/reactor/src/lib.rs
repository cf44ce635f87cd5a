//! Completion drivers (io_uring, poll, simulation) and the worker loop.
//!
//! ```text
//!   Service ──Op──▶ Driver ──SQE / syscall / virtual network, disk──▶ kernel or simulation
//!      ▲                                                                    │
//!      └───────Completion── Worker::turn() ◀── Driver::turn() ◀─────────────┘
//! ```
//!
//! A [`Driver`] speaks completions, never readiness: [`Driver::submit`] takes an [`Op`],
//! [`Driver::turn`] hands back [`Completion`]s, of sockets and of files alike. An operation's slot owns its buffers and its
//! descriptor until the operation's *final* completion; cancelling is a request, and a success
//! after a cancel is an ordinary event.
//!
//! This crate knows buffers and queues, and no protocol.

#![deny(unsafe_op_in_unsafe_fn)]

pub mod affinity;
mod completion;
mod driver;
pub mod executor;
mod file;
mod id;
mod net;
mod op;
pub mod poll;
mod recv_pool;
pub mod scheduler;
pub mod sim;
mod starved;
pub mod task;
#[cfg(target_os = "linux")]
pub mod uring;
mod worker;

pub use affinity::Affinity;
pub use completion::{Completion, Completions, RecvEnd};
pub use driver::{
    Address, Caps, Clock, Driver, DriverConfig, DriverKind, DriverStats, Reach, StartError,
    TurnError, Wait, Waker,
};
pub use executor::{Executor, ExecutorConfig};
pub use file::{FILES_MAX, FileHandle, FileStats};
pub use id::{FileId, ListenerId, OpId, OpKind, SocketId};
pub use net::{ListenSpec, connect_socket, listen_socket};
pub use op::{Connect, Op, Payload, Reject};
pub use recv_pool::{RecvBuf, RecvPool};
pub use scheduler::{Backoff, Cancel, Due, Scheduler};
pub use task::{CancelFlag, Task};
pub use worker::{Context, Service, WakeBy, Worker, WorkerConfig};
