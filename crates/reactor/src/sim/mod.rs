//! The simulation driver: production workers on a virtual network, virtual disks and a virtual clock,
//! in one thread, from one seed.
//!
//! ```text
//!   Worker ─ SimDriver ─┐                       ┌─ SimDriver ─ Worker
//!                       ├─ SimNet: time, events ┤
//!   SimPeer (bytes) ────┘  connections, faults  └─ SimPeer
//!
//!   SimDriver ── SimFile ── SimDisk: a volatile cache over a medium, crashes, faults
//! ```
//!
//! Call the workers' turns in any fixed order, again and again. Time moves only when every driver
//! is idle, to the next event or deadline, so a second of waiting costs nothing. The same seed and
//! the same calls give the same run, bit for bit: [`SimNet::trace`] is its fingerprint.
//!
//! Fault model. A peer may read slowly, stop reading for a while or for ever, half-close, or be
//! reset after any byte. A connect may be refused or slow. Completions may come late and overtake
//! those of other sockets, never those of their own. Receives and sends may be short, receives
//! may find no buffer, accepts no descriptor, a turn may be interrupted before it submits, a
//! cancel may come too late, and the process may pause. Bytes of a connection are never lost,
//! doubled or reordered: TCP sees to that. See [`Fault`]; each counts how often it fired. What disks do
//! is said at [`SimDisk`].

mod config;
mod disk;
mod disk_fault;
mod driver;
mod fault;
mod files;
mod image;
mod kernel;
mod net;
mod peer;
mod pipe;
mod reach;
mod socket;
mod stream;
mod trace;
mod volume;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use hioload_base::Time;

pub use self::config::{CHANCE_OF, SimConfig};
pub use self::disk::{SimDisk, SimFile};
pub use self::disk_fault::{DiskConfig, DiskFault, DiskFaultCounts};
pub use self::driver::SimDriver;
pub use self::fault::{Fault, FaultCounts};
use self::net::Net;
pub use self::peer::SimPeer;
use crate::driver::DriverConfig;

/// A virtual network and clock. Cheap to clone; all clones are the same network.
///
/// # Examples
/// ```
/// use hioload_reactor::sim::{SimConfig, SimNet};
/// use hioload_reactor::{Completion, Driver, DriverConfig, ListenSpec, Op, Wait};
///
/// let net = SimNet::new(42, SimConfig::calm());
/// let mut driver = net.driver(DriverConfig::default());
/// let listener = driver.listen(&ListenSpec::new("10.0.0.1:80".parse().unwrap())).unwrap();
/// driver.submit(Op::Accept { listener }).unwrap();
/// let peer = net.connect("10.0.0.1:80".parse().unwrap());
/// let mut events = Vec::new();
/// while events.is_empty() {
///     driver.turn(Wait::Forever, &mut events).unwrap();
/// }
/// assert!(matches!(events[0], Completion::Accepted { .. }));
/// # drop(peer);
/// ```
#[derive(Clone)]
pub struct SimNet(Rc<RefCell<Net>>);

impl SimNet {
    /// A network at time zero.
    #[must_use]
    pub fn new(seed: u64, config: SimConfig) -> Self {
        Self(Rc::new(RefCell::new(Net::new(seed, config))))
    }

    /// A driver on this network.
    #[must_use]
    pub fn driver(&self, config: DriverConfig) -> SimDriver {
        SimDriver::new(Rc::clone(&self.0), config)
    }

    /// A test client that connects to `to`.
    ///
    /// # Panics
    /// Above a million connections.
    #[must_use]
    pub fn connect(&self, to: SocketAddr) -> SimPeer {
        SimPeer::connect(Rc::clone(&self.0), to)
    }

    /// Virtual time.
    #[must_use]
    pub fn now(&self) -> Time {
        self.0.borrow().now
    }

    /// How often each fault fired so far.
    #[must_use]
    pub fn faults(&self) -> FaultCounts {
        self.0.borrow().counts
    }

    /// No more faults from now on, so that a run can show that everything recovers. Readers that
    /// are dead stay dead.
    pub fn heal(&self) {
        self.0.borrow_mut().config.heal();
    }

    /// A fingerprint of everything that has happened.
    #[must_use]
    pub fn trace(&self) -> u64 {
        self.0.borrow().trace.value()
    }
}

impl std::fmt::Debug for SimNet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimNet")
            .field("now", &self.now())
            .finish_non_exhaustive()
    }
}
