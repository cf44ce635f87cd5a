//! Any blocks under any announced sizes: the decoder keeps its bounds, stays refused once it has refused,
//! and what it has read comes out of our encoder and another decoder as it went in.
//!
//! A byte says how long the next block is; 255 is followed by a byte that says what is announced.

use hioload_http::hpack::{DecodeError, Decoder, Encoder, Indexing, Malformed, TABLE_SIZE_INITIAL};

/// Bytes of a list that are looked at.
const LIST_SIZE_MAX: usize = 64 * 1024;

type Fields = Vec<(Vec<u8>, Vec<u8>, bool)>;

/// Checks one input; panics when something is wrong.
pub(crate) fn run(mut data: &[u8]) {
    let mut decoder = Decoder::new(TABLE_SIZE_INITIAL);
    let mut encoder = Encoder::new(TABLE_SIZE_INITIAL);
    let mut second = Decoder::new(TABLE_SIZE_INITIAL);
    while let Some((&size, rest)) = data.split_first() {
        if size == 255 {
            let Some((&size, rest)) = rest.split_first() else {
                return;
            };
            let table_size = u32::from(size) * 20;
            decoder.set_table_size_max(table_size);
            encoder.set_peer_table_size(table_size);
            second.set_table_size_max(table_size);
            data = rest;
            continue;
        }
        let (block, rest) = rest.split_at(rest.len().min(usize::from(size)));
        data = rest;
        let fields = match read(&mut decoder, block) {
            Ok(fields) => fields,
            Err(error) => {
                assert_ne!(error, DecodeError::Malformed(Malformed::AfterError));
                let again = read(&mut decoder, &[0x82]);
                assert_eq!(again, Err(DecodeError::Malformed(Malformed::AfterError)));
                return;
            }
        };
        let mut out = Vec::new();
        let mut writer = encoder.block(&mut out);
        for (name, value, is_sensitive) in &fields {
            let indexing = match (is_sensitive, name.len() % 3) {
                (true, _) => Indexing::Never,
                (false, 0) => Indexing::Without,
                (false, _) => Indexing::Incremental,
            };
            writer.field(name, value, indexing);
        }
        assert_eq!(read(&mut second, &out), Ok(fields));
    }
}

fn read(decoder: &mut Decoder, block: &[u8]) -> Result<Fields, DecodeError<()>> {
    let (mut fields, mut size) = (Vec::new(), 0);
    decoder.decode(block, |field| {
        size += field.size();
        if size > LIST_SIZE_MAX {
            return Err(());
        }
        fields.push((
            field.name.to_vec(),
            field.value.to_vec(),
            field.is_sensitive,
        ));
        Ok(())
    })?;
    Ok(fields)
}
