//! Values on topics and in requests.

use multi_node_bus::{ContentType, Payload, RequestError, TypedEvent};
use serde::{Deserialize, Serialize};

use crate::world::{World, id, within};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Chat {
    name: String,
    line: u32,
}

fn chat(line: u32) -> Chat {
    Chat { name: "ann".to_owned(), line }
}

#[tokio::test]
async fn values_arrive_whatever_their_encoding_and_others_are_errors() {
    let (_world, buses) = World::of(2);
    let mut subscription = buses[0].typed_topic::<Chat>("chat").unwrap().subscribe().await;
    let topic = buses[1].typed_topic::<Chat>("chat").unwrap();
    let _ = topic.publish(&chat(1)).unwrap();
    let _ = topic.clone().json().publish(&chat(2)).unwrap();
    let _ = topic.raw().publish(Payload::text("no chat")).unwrap();
    let _ = topic.publish(&chat(3)).unwrap();
    for line in 1..=2 {
        match within("a value", subscription.recv()).await {
            TypedEvent::Message { from, value } => assert_eq!((from, value), (id(2), chat(line))),
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(within("an error", subscription.recv()).await, TypedEvent::Undecodable { .. }));
    assert!(matches!(
        within("a value", subscription.recv()).await,
        TypedEvent::Message { value: Chat { line: 3, .. }, .. }
    ));
}

#[tokio::test]
async fn requests_of_values() {
    let (_world, buses) = World::of(2);
    let double =
        |chat: Chat| async move { if chat.line == 0 { Err("a line has a number") } else { Ok(chat.line * 2) } };
    buses[0].respond_typed("double", double).unwrap();
    let ask = |line| buses[1].request_typed::<u32>("double", &chat(line)).to(id(1));
    assert_eq!(ask(4).await.unwrap(), 8);
    assert_eq!(ask(0).await.unwrap_err(), RequestError::Failed("a line has a number".to_owned()));
    let wrong = buses[1].request_typed::<u32>("double", &"no chat").await.unwrap_err();
    assert!(matches!(wrong, RequestError::Failed(ref text) if text.contains("cannot decode the request")), "{wrong}");
    let answer = buses[1].request_typed::<String>("double", &chat(4)).await.unwrap_err();
    assert!(matches!(answer, RequestError::Decode(_)), "{answer}");
    let json = buses[1].request("double", Payload::json(&chat(5)).unwrap()).await.unwrap();
    assert_eq!((json.content, json.as_text().as_ref()), (ContentType::Json, "10"));
    let all = buses[1].request_all_typed::<u32>("double", &chat(6)).unwrap().await;
    assert_eq!(all.into_iter().collect::<Vec<_>>(), [(id(1), Ok(12))]);
}
