//! Uploads beside the tunnels: so many at a time that the connection always has something to carry.

use std::io;

use crate::connection::Connection;
use crate::wire::broken;

struct Upload {
    stream: u32,
    sent: usize,
    status: Option<u16>,
}

pub(crate) struct Uploads {
    count: usize,
    content: Vec<u8>,
    /// What they all differ by.
    stamp: u64,
    running: Vec<Upload>,
    done: u64,
}

impl Uploads {
    pub(crate) fn new(count: usize, size: usize) -> Self {
        Self {
            count,
            content: vec![0xa5; size],
            stamp: 0,
            running: Vec::new(),
            done: 0,
        }
    }

    /// Bytes of contents that were answered for.
    pub(crate) fn bytes_done(&self) -> u64 {
        self.done * self.content.len() as u64
    }

    /// Adds at most one frame to what has to be written.
    pub(crate) fn advance(&mut self, connection: &mut Connection, addr: &str, may_begin: bool) {
        while may_begin && self.running.len() < self.count {
            let length = self.content.len().to_string();
            let stream = connection.request(&[
                (":method", "POST"),
                (":scheme", "http"),
                (":path", "/blocks"),
                (":authority", addr),
                ("content-length", &length),
            ]);
            self.running.push(Upload {
                stream,
                sent: 0,
                status: None,
            });
        }
        let size = self.content.len();
        let next = self
            .running
            .iter_mut()
            .find(|upload| upload.sent < size && connection.room(upload.stream) > 0);
        let Some(upload) = next else {
            return;
        };
        if upload.sent == 0 {
            self.stamp += 1;
            self.content[..8].copy_from_slice(&self.stamp.to_be_bytes());
        }
        let end = size.min(upload.sent + connection.room(upload.stream));
        let bytes = &self.content[upload.sent..end];
        connection.data(upload.stream, bytes, end == size);
        upload.sent = end;
    }

    pub(crate) fn answered(&mut self, stream: u32, status: Option<u16>) -> io::Result<()> {
        let upload = self.running.iter_mut().find(|it| it.stream == stream);
        upload.ok_or_else(|| broken("an answer to nothing"))?.status = status;
        Ok(())
    }

    pub(crate) fn ended(&mut self, stream: u32, is_reset: bool) -> io::Result<()> {
        let index = self.running.iter().position(|it| it.stream == stream);
        let upload = self
            .running
            .remove(index.ok_or_else(|| broken("an end of nothing"))?);
        let is_good = matches!(upload.status, Some(200..=299));
        if is_reset || !is_good || upload.sent < self.content.len() {
            let status = upload.status;
            return Err(broken(&format!("an upload is refused: {status:?}")));
        }
        self.done += 1;
        Ok(())
    }
}
