//! An HTTP/2 connection from its preface to its end.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Body;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;
use tower_service::Service;

use super::body::RequestBody;
use super::clock::Clock;
use super::exchange::Exchange;
use super::prefixed_io::PrefixedIo;
use super::progress::Progress;
use super::shared::Shared;
use crate::Stream;
use crate::conn_info::ConnInfo;
use crate::crowd::Member;
use crate::drain::{Seen, Watch};
use crate::server::BoxError;

/// How long an idle HTTP/2 connection may take to close after the server's GOAWAY.
const LEAVE: Duration = Duration::from_secs(5);

pub(super) async fn http2<S, B>(
    stream: Stream,
    (before, member): (Bytes, Option<Arc<Member>>),
    mut watch: Pin<&mut Watch>,
    shared: &Arc<Shared>,
    service: S,
    info: &ConnInfo,
) where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let progress = Progress::new(shared.clone(), member, true);
    let exchange = Exchange::new(service, progress.clone(), (info, stream.tls_info()), false);
    let io = TokioIo::new(PrefixedIo::new(stream, before, progress.clone(), false));
    let mut hyper = pin!(shared.builder.http2.serve_connection(io, exchange));
    let mut clock = Clock::new(&progress);
    let mut leaving = None;
    poll_fn(|cx| {
        loop {
            if hyper.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            match ready!(watch.as_mut().poll(cx, clock.idle_deadline(leaving))) {
                Seen::Due if clock.client_is_gone() => return Poll::Ready(()),
                Seen::Due if leaving.is_none() => leaving = Some(Instant::now() + LEAVE),
                Seen::Drain => {}
                Seen::Due | Seen::Cut => return Poll::Ready(()),
            }
            hyper.as_mut().graceful_shutdown();
        }
    })
    .await;
}
