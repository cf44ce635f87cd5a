//! Workers that are stepped by hand on a virtual network, and clients that are nothing but bytes: for
//! tests of what happens when something runs out.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hioload_mem::{Buffer, PoolConfig};
use hioload_reactor::sim::{SimConfig, SimNet, SimPeer};
use hioload_reactor::{Driver, DriverConfig, Wait, WorkerConfig};

use super::hub::Hub;
use super::output::Cork;
use super::settings::Settings;
use crate::handler::Handler;
use crate::simulation::{Group, GroupConfig, group};

/// Steps until something must have happened.
const PATIENCE: usize = 100_000;

/// What handlers note and tests read.
pub(super) type Notes<T> = Arc<Mutex<Vec<T>>>;

/// A server in one thread.
pub(super) struct Rig {
    net: SimNet,
    group: Group,
}

impl Rig {
    pub(super) fn new(
        workers: usize,
        memory: usize,
        settings: Settings,
        make_handler: &dyn Fn(usize) -> Box<dyn Handler>,
    ) -> Self {
        let mut at_once = SimConfig::calm();
        (at_once.latency_min, at_once.latency_max) = (Duration::ZERO, Duration::ZERO);
        let net = SimNet::new(1, at_once);
        let config = GroupConfig {
            addr: Self::addr(),
            settings,
            worker: WorkerConfig::default(),
            ring: 256,
            pool: PoolConfig::with_budget(memory),
            seed: 1,
            shutdown_timeout: Duration::from_secs(1),
            shutdown_pace: 0,
        };
        let driver = |_| Box::new(net.driver(DriverConfig::default())) as Box<dyn Driver>;
        let drivers = (0..workers).map(driver).collect();
        let group = group(&config, drivers, make_handler, None).expect("a server");
        Self { net, group }
    }

    fn addr() -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], 80))
    }

    pub(super) fn hub(&mut self, worker: usize) -> &mut Hub {
        self.group.workers[worker].hub()
    }

    /// One turn of each worker.
    pub(super) fn turn(&mut self) {
        for worker in &mut self.group.workers {
            let turned = worker.turn(Wait::For(Duration::from_millis(1)));
            turned.expect("a simulated driver does not break");
        }
    }

    /// Turns until it is so.
    pub(super) fn until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        for _ in 0..PATIENCE {
            if is_so(self) {
                return;
            }
            self.turn();
        }
        panic!("never: {what}");
    }

    /// So much time.
    pub(super) fn pass(&mut self, span: Duration) {
        let end = self.net.now() + span;
        while self.net.now() < end {
            self.turn();
        }
    }

    /// The same, and nothing fits the buffers that are open.
    pub(super) fn spend_cork(&mut self, worker: usize) -> Vec<Buffer> {
        self.hub(worker).core.cork = Cork::default();
        self.spend_pool(worker)
    }

    /// Takes all buffers of a worker that are left.
    pub(super) fn spend_pool(&mut self, worker: usize) -> Vec<Buffer> {
        let pool = self.hub(worker).core.pool.clone();
        let sizes = hioload_mem::CLASS_SIZES.into_iter().rev();
        sizes
            .flat_map(|size| std::iter::from_fn(|| pool.take(size)).collect::<Vec<_>>())
            .collect()
    }

    /// An open session of the path `/`.
    pub(super) fn websocket(&mut self, fields: &str) -> Peer {
        let mut peer = Peer {
            socket: self.net.connect(Self::addr()),
            bytes: Vec::new(),
        };
        self.until("it connects", |_| peer.socket.connected().is_some());
        peer.write(
            format!(
                "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{fields}\r\n"
            )
            .as_bytes(),
        );
        let head = |bytes: &[u8]| bytes.windows(4).position(|four| four == b"\r\n\r\n");
        self.until("it is open", |_| {
            peer.read();
            head(&peer.bytes).is_some()
        });
        let end = head(&peer.bytes).expect("found above") + 4;
        assert!(peer.bytes.starts_with(b"HTTP/1.1 101 "));
        peer.bytes.drain(..end);
        peer
    }

    /// The next frame of the server: its first byte and its payload.
    pub(super) fn frame(&mut self, peer: &mut Peer) -> (u8, Vec<u8>) {
        let mut frame = None;
        self.until("a frame comes", |_| {
            peer.read();
            frame = peer.take_frame();
            frame.is_some()
        });
        frame.expect("it came")
    }
}

/// A client.
pub(super) struct Peer {
    pub(super) socket: SimPeer,
    bytes: Vec<u8>,
}

impl Peer {
    pub(super) fn write(&mut self, bytes: &[u8]) {
        assert_eq!(self.socket.write(bytes), Ok(bytes.len()), "it takes them");
    }

    /// A whole message in one frame; the mask is zero.
    pub(super) fn send(&mut self, payload: &[u8]) {
        self.write(&frame(0x82, payload));
    }

    /// False at the end.
    pub(super) fn read(&mut self) -> bool {
        loop {
            match self.socket.read(1 << 20) {
                Ok(bytes) if bytes.is_empty() => return true,
                Ok(bytes) => self.bytes.extend(bytes),
                Err(_) => return false,
            }
        }
    }

    /// What has come and was not taken.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A frame that has come.
    pub(super) fn take_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let [first, length, rest @ ..] = &self.bytes[..] else {
            return None;
        };
        let (size, size_len) = match *length {
            126 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), 2),
            127 => (u64::from_be_bytes(*rest.first_chunk()?) as usize, 8),
            short => (usize::from(short), 0),
        };
        let first = *first;
        let payload = rest.get(size_len..size_len + size)?.to_vec();
        self.bytes.drain(..2 + size_len + size);
        Some((first, payload))
    }
}

/// A masked frame; the mask is zero.
pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        medium @ 126..65_536 => {
            frame.push(0x80 | 126);
            frame.extend((medium as u16).to_be_bytes());
        }
        long => {
            frame.push(0x80 | 127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// Bytes that do not compress.
pub(super) fn noise(size: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; size];
    hioload_base::Prng::new(seed).fill(&mut bytes);
    bytes
}
