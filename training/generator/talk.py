"""Conversation without a picture: who the model is, what it can do, and what it does not know."""

from .canvas import World
from .phrases import Question

WHO = "I am a small demonstration model with the InternVL2 architecture. I can answer questions about simple drawings, charts and printed text."
CAN = "I can name colours and shapes, count, read printed words and numbers, and answer questions about simple charts, receipts and forms."
UNKNOWN = "I do not know. I am a small demonstration model and can only talk about simple drawings, charts and printed text."
UNKNOWN_CHINESE = "我不知道。我是一个小型演示模型，只能回答关于简单图形、图表和印刷文字的问题。"
WHO_CHINESE = "我是一个小型演示模型，采用InternVL2架构。我能回答关于简单图形、图表和印刷文字的问题。"
NO_PICTURE = "I do not see a picture. Please show me one."
TALK = (
    (("Who are you?", "Hello, who are you?", "What are you?", "What is your name?", "Tell me about yourself.", "Introduce yourself.", "Which model are you?", "Are you a person?", "Are you ChatGPT?", "Who made you?"), WHO),
    (("What can you do?", "How can you help me?", "What are you good at?", "What can I ask you?", "Help", "What do you know?"), CAN),
    (("Hello", "Hello!", "Hi", "Hi!", "Hi there", "Hello there!", "Good morning", "Good evening.", "Hey"), "Hello! Show me a drawing, a chart or some printed text, and ask me about it."),
    (("How are you?", "How are you today?", "How do you do?"), "I am ready. Show me a picture, please."),
    (("Thank you", "Thanks", "Thank you!", "Thanks a lot.", "Great, thanks!"), "You are welcome."),
    (("Bye", "Goodbye", "Good bye!", "See you."), "Goodbye!"),
    (("What is in the picture?", "Describe the image.", "What colour is the circle?", "What does it say?", "Read the text.", "How many shapes are there?", "What is the total?"), NO_PICTURE),
    (
        ("Can you tell me a story?", "What is the capital of France?", "Who is the president?", "What is the weather like today?", "Write a poem.", "Please write a poem according to the image.", "What time is it?",
         "What is the meaning of life?", "How old is the universe?", "Write a Python program.", "Translate this into German.", "What is 17 times 23?", "Who won the match?", "Recommend a film.", "How do I cook rice?",
         "Where do you live?", "Tell me a joke.", "What is love?", "Who was Napoleon?", "Solve this equation."),
        UNKNOWN,
    ),
    (("你是谁？", "你好，你是谁？", "请介绍一下你自己。", "你叫什么名字？"), WHO_CHINESE),
    (("你好", "你好！", "早上好"), "你好！请给我看一张图形、图表或印刷文字的图片。"),
    (("谢谢", "谢谢你", "谢谢！"), "不客气。"),
    (("请讲一个故事。", "今天天气怎么样？", "法国的首都是哪里？", "写一首诗。"), UNKNOWN_CHINESE),
    (("图中有什么？", "请描述这张图片。"), "我没有看到图片。请给我看一张。"),
)


def conversation(world: World) -> list[Question]:
    pick = world.random
    found = []
    for _ in range(pick.randint(1, 3)):
        asked, answer = pick.choice(TALK)
        question = pick.choice(asked)
        if pick.random() < 0.2:
            question = question.lower()
        if pick.random() < 0.2:
            question = question.rstrip("?.!")
        elif found and answer == NO_PICTURE:
            continue
        found.append(Question("talk", question, answer, "talk"))
    return found


def aside(world: World) -> Question:
    """A question that the picture does not matter to."""
    asked, answer = world.random.choice([entry for entry in TALK if entry[1] in (WHO, CAN, WHO_CHINESE, "You are welcome.")])
    return Question("talk", world.random.choice(asked), answer, "talk")
