//! A disk with one file, and a driver to reach it.

use hioload_base::{Prng, Time};
use hioload_mem::{BufferPool, PoolConfig};
use hioload_reactor::sim::{DiskConfig, SimConfig, SimDisk, SimDriver, SimFile, SimNet};
use hioload_reactor::{Completion, Driver, DriverConfig, FileHandle, FileId, Op, Wait};

pub(crate) fn config() -> DriverConfig {
    DriverConfig {
        batch: 64,
        sockets_max: 4,
        recv_buffer_size: 256,
        recv_buffer_count: 4,
        ..DriverConfig::default()
    }
}

pub(crate) struct Rig {
    pub(crate) disk: SimDisk,
    pub(crate) file: SimFile,
    net: SimNet,
    driver: SimDriver,
    id: FileId,
    pool: BufferPool,
    in_flight: usize,
    results: Vec<(u64, Result<Vec<u8>, i32>)>,
    written: Vec<(u64, Result<usize, i32>)>,
}

impl Rig {
    pub(crate) fn calm() -> Self {
        Self::new(1, DiskConfig::calm())
    }

    pub(crate) fn new(seed: u64, config: DiskConfig) -> Self {
        let disk = SimDisk::new(seed, config);
        let file = disk.create();
        let net = SimNet::new(seed, SimConfig::calm());
        let (driver, id) = open(&net, &file);
        Self {
            disk,
            file,
            net,
            driver,
            id,
            pool: BufferPool::new(PoolConfig::with_budget(16 << 20)).expect("a pool"),
            in_flight: 0,
            results: Vec::new(),
            written: Vec::new(),
        }
    }

    /// The machine stops and starts again.
    pub(crate) fn restart(&mut self, seed: u64) {
        self.disk.crash(&mut Prng::new(seed));
        self.new_driver();
    }

    /// The process dies and starts again.
    pub(crate) fn new_driver(&mut self) {
        // The old one is gone before anybody looks.
        let (driver, id) = open(&self.net, &self.file);
        drop(std::mem::replace(&mut self.driver, driver));
        self.id = id;
        self.in_flight = 0;
        self.results.clear();
        self.written.clear();
    }

    pub(crate) fn now(&self) -> Time {
        self.net.now()
    }

    pub(crate) fn trace(&self) -> u64 {
        self.net.trace()
    }

    pub(crate) fn submit_write(&mut self, token: u64, offset: u64, bytes: &[u8]) {
        let mut buffer = self.pool.take(bytes.len()).expect("budget");
        buffer.extend_from_slice(bytes).expect("room");
        self.submit(Op::Write {
            file: self.id,
            token,
            offset,
            content: buffer.seal(),
        });
    }

    pub(crate) fn submit_read(&mut self, token: u64, offset: u64, len: usize) {
        let buffer = self.pool.take(len).expect("budget");
        self.submit(Op::Read {
            file: self.id,
            token,
            offset,
            len,
            buffer,
        });
    }

    fn submit(&mut self, op: Op) {
        self.driver.submit(op).expect("taken");
        self.in_flight += 1;
    }

    pub(crate) fn turn(&mut self, wait: Wait) {
        let mut events = Vec::new();
        self.driver
            .turn(wait, &mut events)
            .expect("a simulated driver works");
        for event in events {
            self.in_flight -= 1;
            match event {
                Completion::Read {
                    token,
                    result,
                    buffer,
                } => {
                    let bytes = buffer.as_slice().to_vec();
                    assert_eq!(bytes.len(), result.unwrap_or(0));
                    self.results.push((token, result.map(|_| bytes)));
                }
                Completion::Written { token, result } => self.written.push((token, result)),
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    /// Waits for everything in flight; what came of it, in the order in which it came, reads last.
    pub(crate) fn finish(&mut self) -> Vec<(u64, Result<usize, i32>)> {
        while self.in_flight > 0 {
            self.turn(Wait::Forever);
        }
        let reads = self.results.drain(..);
        let reads = reads.map(|(token, result)| (token, result.map(|bytes| bytes.len())));
        self.written.drain(..).chain(reads).collect()
    }

    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<usize, i32> {
        self.submit_write(0, offset, bytes);
        while self.written.is_empty() {
            self.turn(Wait::Forever);
        }
        self.written.remove(0).1
    }

    pub(crate) fn read(&mut self, offset: u64, len: usize) -> Result<Vec<u8>, i32> {
        self.submit_read(0, offset, len);
        while self.results.is_empty() {
            self.turn(Wait::Forever);
        }
        self.results.remove(0).1
    }
}

fn open(net: &SimNet, file: &SimFile) -> (SimDriver, FileId) {
    let mut driver = net.driver(config());
    let id = driver
        .open_file(FileHandle::Sim(file.clone()))
        .expect("room for a file");
    (driver, id)
}
