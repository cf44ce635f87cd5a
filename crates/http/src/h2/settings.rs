//! The settings of a peer, and ours as they are announced.
//!
//! Knows no connection: what a change does to streams is theirs.
//!
//! Spec: RFC 9113 6.5; RFC 8441 3; RFC 9218 2.1.

use super::offence::Offence;

/// What a peer allows, and how it wants to be spoken to. Before its SETTINGS come: what RFC 9113 6.5.2 assumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerSettings {
    /// Bytes of the table that our field compression may use.
    pub header_table_size: u32,
    /// Streams that we may open.
    pub max_concurrent_streams: u32,
    /// Bytes of each stream that we may send ahead.
    pub initial_window_size: u32,
    /// Bytes of the content of a frame.
    pub max_frame_size: u32,
    /// Bytes of a header list; advice.
    pub max_header_list_size: u32,
    /// It takes extended CONNECT (RFC 8441 3).
    pub enable_connect: bool,
}

impl Default for PeerSettings {
    fn default() -> Self {
        Self {
            header_table_size: 4096,
            max_concurrent_streams: u32::MAX,
            initial_window_size: 65_535,
            max_frame_size: 16_384,
            max_header_list_size: u32::MAX,
            enable_connect: false,
        }
    }
}

/// Names of settings.
pub(super) mod id {
    pub(in crate::h2) const HEADER_TABLE_SIZE: u16 = 0x1;
    pub(in crate::h2) const ENABLE_PUSH: u16 = 0x2;
    pub(in crate::h2) const MAX_CONCURRENT_STREAMS: u16 = 0x3;
    pub(in crate::h2) const INITIAL_WINDOW_SIZE: u16 = 0x4;
    pub(in crate::h2) const MAX_FRAME_SIZE: u16 = 0x5;
    pub(in crate::h2) const MAX_HEADER_LIST_SIZE: u16 = 0x6;
    pub(in crate::h2) const ENABLE_CONNECT_PROTOCOL: u16 = 0x8;
    pub(in crate::h2) const NO_RFC7540_PRIORITIES: u16 = 0x9;
}

impl PeerSettings {
    /// Takes one entry. `is_server`: whether its sender is the server.
    ///
    /// # Errors
    /// The value is not one that this setting may have.
    pub(super) fn apply(&mut self, id: u16, value: u32, is_server: bool) -> Result<(), Offence> {
        match id {
            id::HEADER_TABLE_SIZE => self.header_table_size = value,
            // RFC 9113 6.5.2: 0 or 1; RFC 9113 8.4: a server MUST NOT set it to 1.
            id::ENABLE_PUSH if value > 1 || (is_server && value == 1) => {
                return Err(Offence::SettingValue);
            }
            id::MAX_CONCURRENT_STREAMS => self.max_concurrent_streams = value,
            id::INITIAL_WINDOW_SIZE if value > i32::MAX as u32 => {
                return Err(Offence::SettingWindow);
            }
            id::INITIAL_WINDOW_SIZE => self.initial_window_size = value,
            id::MAX_FRAME_SIZE if !(16_384..=16_777_215).contains(&value) => {
                return Err(Offence::SettingValue);
            }
            id::MAX_FRAME_SIZE => self.max_frame_size = value,
            id::MAX_HEADER_LIST_SIZE => self.max_header_list_size = value,
            // RFC 8441 3: 0 or 1, and never back to 0.
            id::ENABLE_CONNECT_PROTOCOL if value > 1 || (self.enable_connect && value == 0) => {
                return Err(Offence::SettingValue);
            }
            id::ENABLE_CONNECT_PROTOCOL => self.enable_connect = value == 1,
            // RFC 9218 2.1: 0 or 1. There is nothing else here than the priorities of RFC 9218.
            id::NO_RFC7540_PRIORITIES if value > 1 => return Err(Offence::SettingValue),
            // RFC 9113 6.5.2: those that nobody knows MUST be ignored.
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_settings_at_their_bounds() {
        use id::*;
        let window = Err(Offence::SettingWindow);
        let bad = Err(Offence::SettingValue);
        for (id, value, is_server, outcome) in [
            (HEADER_TABLE_SIZE, u32::MAX, true, Ok(())),
            (ENABLE_PUSH, 0, true, Ok(())),
            (ENABLE_PUSH, 1, true, bad),
            (ENABLE_PUSH, 1, false, Ok(())),
            (ENABLE_PUSH, 2, false, bad),
            (INITIAL_WINDOW_SIZE, 0, false, Ok(())),
            (INITIAL_WINDOW_SIZE, 0x7fff_ffff, false, Ok(())),
            (INITIAL_WINDOW_SIZE, 0x8000_0000, false, window),
            (MAX_FRAME_SIZE, 16_383, false, bad),
            (MAX_FRAME_SIZE, 16_384, false, Ok(())),
            (MAX_FRAME_SIZE, 16_777_215, false, Ok(())),
            (MAX_FRAME_SIZE, 16_777_216, false, bad),
            (ENABLE_CONNECT_PROTOCOL, 0, true, Ok(())),
            (ENABLE_CONNECT_PROTOCOL, 1, true, Ok(())),
            (ENABLE_CONNECT_PROTOCOL, 2, true, bad),
            (NO_RFC7540_PRIORITIES, 1, false, Ok(())),
            (NO_RFC7540_PRIORITIES, 2, false, bad),
            (0x7, 5, false, Ok(())),
            (0xffff, u32::MAX, false, Ok(())),
        ] {
            let mut settings = PeerSettings::default();
            assert_eq!(
                settings.apply(id, value, is_server),
                outcome,
                "{id} = {value}"
            );
        }
    }

    #[test]
    fn extended_connect_is_not_taken_back() {
        let mut settings = PeerSettings::default();
        for (value, outcome) in [
            (0, Ok(())),
            (1, Ok(())),
            (1, Ok(())),
            (0, Err(Offence::SettingValue)),
        ] {
            assert_eq!(
                settings.apply(id::ENABLE_CONNECT_PROTOCOL, value, true),
                outcome
            );
        }
        assert!(settings.enable_connect);
    }
}
