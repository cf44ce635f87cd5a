//! TLS on the links of a load: what the server's figures are measured with, not what is measured.
//!
//! Must not know frames. A link's send is sealed whole; records that came are opened for the engine.

use hioload::tls::{
    Connector, ConnectorConfig, Event, Failure, Inbox, RECORD_OVERHEAD, Roots, Session,
};
use hioload_mem::Segment;
use hioload_reactor::Payload;

use super::BenchError;

/// Plain bytes of one record.
const RECORD_SIZE: usize = 16 << 10;

/// What all links share.
pub(super) struct Trust {
    connector: Connector,
    inbox: Inbox,
    gather: Vec<u8>,
}

/// What came of input.
pub(super) enum Opened {
    /// Nothing more for now.
    Nothing,
    /// The request may be sent.
    Ready,
    /// Plain bytes, in the vector that was given.
    Data,
}

impl Trust {
    /// Trusts anybody: the server is the one that is measured.
    pub(super) fn new(resumption: bool) -> Result<Trust, BenchError> {
        let config = ConnectorConfig {
            roots: Roots::Insecure,
            alpn: vec!["http/1.1".to_owned()],
            resumption,
            ..ConnectorConfig::default()
        };
        let connector = Connector::new(&config)
            .map_err(|error| BenchError::failed(error.what, error.cause, error.remedy))?;
        Ok(Trust {
            connector,
            inbox: Inbox::default(),
            gather: Vec::new(),
        })
    }

    /// A session, and its first records.
    pub(super) fn begin(&self) -> Option<(Box<Session>, Segment)> {
        let mut session = Box::new(self.connector.connect("localhost").ok()?);
        let records = said(&mut session)?;
        Some((session, records))
    }

    /// All of a payload as records.
    pub(super) fn seal(&mut self, session: &mut Session, payload: &Payload) -> Option<Segment> {
        let size = payload.len();
        let room = size + (size / RECORD_SIZE + 2) * RECORD_OVERHEAD;
        let mut records = vec![0; room];
        let pieces = payload.pieces().iter().map(|piece| &piece[..]);
        let sealed = session
            .encrypt(pieces, &mut self.gather, &mut records)
            .ok()?;
        assert_eq!(sealed.plain, size, "invariant: there is room for all of it");
        records.truncate(sealed.cipher);
        Some(Segment::from_vec(records))
    }

    /// Opens records, up to the next thing that matters.
    pub(super) fn open(
        &mut self,
        session: &mut Session,
        input: &mut &mut [u8],
        plain: &mut Vec<u8>,
    ) -> Result<Opened, Failure> {
        plain.clear();
        match session.handle_input(input, &mut self.inbox)? {
            None | Some(Event::Closed) => Ok(Opened::Nothing),
            Some(Event::Handshake(_)) => Ok(Opened::Ready),
            Some(Event::Data(bytes)) => {
                plain.extend_from_slice(bytes);
                Ok(Opened::Data)
            }
        }
    }
}

/// Handshake messages and alerts, if there are some.
pub(super) fn said(session: &mut Session) -> Option<Segment> {
    let mut records = Vec::new();
    session.poll_output(&mut records);
    (!records.is_empty()).then(|| Segment::from_vec(records))
}
