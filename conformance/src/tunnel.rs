//! Bytes from a socket to a stream and back, until both have ended.

use bytes::{Bytes, BytesMut};
use h2::{RecvStream, SendStream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::Outcome;

const READ_SIZE: usize = 64 * 1024;

/// Carries bytes both ways; `early` came before the tunnel was open.
pub(crate) async fn pump(
    client: TcpStream,
    early: Bytes,
    receive: RecvStream,
    send: SendStream<Bytes>,
) -> Outcome<()> {
    let (read, write) = client.into_split();
    // A reset ends both ways at once; an end of one way leaves the other open.
    let (there, back) = tokio::join!(there(read, early, send), back(receive, write));
    there.and(back)
}

async fn there(
    mut client: OwnedReadHalf,
    early: Bytes,
    mut send: SendStream<Bytes>,
) -> Outcome<()> {
    forward(&mut send, early).await?;
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(READ_SIZE);
        tokio::select! {
            read = client.read_buf(&mut buffer) => match read {
                Ok(0) => break,
                Ok(_) => forward(&mut send, buffer.split().freeze()).await?,
                Err(_) => {
                    send.send_reset(h2::Reason::CANCEL);
                    return Ok(());
                }
            },
            reset = std::future::poll_fn(|context| send.poll_reset(context)) => {
                reset?;
                return Ok(());
            }
        }
    }
    send.send_data(Bytes::new(), true)?;
    Ok(())
}

async fn forward(send: &mut SendStream<Bytes>, mut bytes: Bytes) -> Outcome<()> {
    while !bytes.is_empty() {
        send.reserve_capacity(bytes.len());
        let granted = std::future::poll_fn(|context| send.poll_capacity(context)).await;
        let granted = granted.ok_or("the stream has ended")??;
        send.send_data(bytes.split_to(granted.min(bytes.len())), false)?;
    }
    Ok(())
}

async fn back(mut receive: RecvStream, mut client: OwnedWriteHalf) -> Outcome<()> {
    while let Some(bytes) = receive.data().await {
        // The socket closes when the halves are gone.
        let bytes = bytes?;
        client.write_all(&bytes).await?;
        receive.flow_control().release_capacity(bytes.len())?;
    }
    client.shutdown().await?;
    Ok(())
}
