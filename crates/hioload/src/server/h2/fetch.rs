//! Blocks are read for a connection as it takes them, not as its streams ask for them: one with a window
//! of nothing could otherwise hold the memory in which all blocks are read.

use hioload_reactor::SocketId;

use super::FETCH_MAX;
use crate::server::core::{Core, Cx};
use crate::server::http::Next;
use crate::server::hub::Hub;

impl Core {
    /// Whether `size` bytes of a block may be read for a stream now; if not, it is told later.
    pub(in crate::server) fn may_fetch(&mut self, socket: SocketId, size: usize) -> bool {
        let Some(stream) = self.h2.get_mut(socket) else {
            return true;
        };
        let parent = stream.parent;
        stream.fetched = size;
        let Some(multiplex) = self.multiplex(parent) else {
            return true;
        };
        let has_room = multiplex.waiting.is_empty() && multiplex.has_room(size);
        if has_room {
            multiplex.fetched += size;
        } else {
            multiplex.waiting.push_back(socket);
            if let Some(stream) = self.h2.get_mut(socket) {
                stream.is_waiting = true;
            }
        }
        has_room
    }
}

impl super::Multiplex {
    fn has_room(&self, size: usize) -> bool {
        self.fetched == 0 || self.fetched + size <= FETCH_MAX
    }
}

impl Hub {
    /// Blocks that waited are read as far as there is room.
    pub(super) fn fetch(&mut self, cx: &mut Cx<'_>, parent: SocketId) {
        loop {
            let core = &mut self.core;
            let Some(multiplex) = core.multiplex(parent) else {
                return;
            };
            let Some(&socket) = multiplex.waiting.front() else {
                return;
            };
            // Gone meanwhile: nothing is read for it.
            let size = core.h2.get_mut(socket).map_or(0, |stream| stream.fetched);
            let Some(multiplex) = core.multiplex(parent) else {
                return;
            };
            if !multiplex.has_room(size) {
                return;
            }
            multiplex.waiting.pop_front();
            multiplex.fetched += size;
            if let Some(stream) = core.h2.get_mut(socket) {
                stream.is_waiting = false;
            }
            let next = self.start_content(cx, socket);
            if !matches!(next, Next::Stop) {
                self.core.flush(cx, socket);
            }
        }
    }
}
