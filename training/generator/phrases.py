"""Ways to ask. Each key has several English phrasings; common ones have short Chinese ones."""

import random
from dataclasses import dataclass

ENGLISH = {
    "colour of shape": ("What colour is the {shape}?", "Which colour is the {shape}?", "What is the colour of the {shape}?", "Tell me the colour of the {shape}.", "The {shape} is what colour?"),
    "shape of colour": ("What shape is {colour}?", "What is the {colour} shape?", "Which shape is {colour}?", "What is the {colour} object?", "What {colour} shape is there?"),
    "only colour": ("What colour is it?", "What colour is the shape?", "What colour is the object?", "Name the colour of the shape."),
    "only shape": ("What shape is it?", "What shape is this?", "Which shape is shown?", "Name the shape.", "What is the shape in the picture?"),
    "place of figure": ("Where is the {figure}?", "Where in the picture is the {figure}?", "What is the position of the {figure}?", "Where can I find the {figure}?"),
    "figure at place": ("What is at the {place}?", "What is in the {place} of the picture?", "Which shape is at the {place}?", "What do you see at the {place}?"),
    "how many shapes": ("How many shapes are there?", "How many objects are in the picture?", "How many shapes do you see?", "Count the shapes.", "What is the number of shapes?"),
    "how many of colour": ("How many {colour} shapes are there?", "How many shapes are {colour}?", "Count the {colour} shapes.", "How many {colour} objects do you see?"),
    "how many of shape": ("How many {plural} are there?", "How many {plural} do you see?", "Count the {plural}.", "How many {plural} are in the picture?"),
    "is there": ("Is there {thing}?", "Is there {thing} in the picture?", "Do you see {thing}?", "Can you see {thing}?"),
    "background": ("What colour is the background?", "What is the background colour?", "Which colour is the background?"),
    "relation": ("Is the {a} {side} the {b}?", "Is the {a} to the {side} the {b}?", "Does the {a} stand {side} the {b}?"),
    "which is bigger": ("Which is bigger, the {a} or the {b}?", "Which is larger, the {b} or the {a}?", "What is bigger: the {a} or the {b}?"),
    "leftmost": ("What is the leftmost shape?", "Which shape is furthest to the left?", "What is on the far left?"),
    "rightmost": ("What is the rightmost shape?", "Which shape is furthest to the right?", "What is on the far right?"),
    "describe": ("Describe the picture.", "Describe the image.", "What is in the picture?", "What do you see?", "Please describe the image shortly.", "Please describe the image in detail.", "What does this image show?", "Tell me about this picture."),
    "read word": ("What word is printed?", "What does it say?", "What does the sign say?", "Read the word.", "Which word is this?", "What is written here?", "What is the word in the picture?", "What text is shown?"),
    "read number": ("What number is shown?", "What number is this?", "Read the number.", "Which number is printed?", "What is the number in the picture?", "What does it say?"),
    "read text": ("Read the text.", "What does the text say?", "What is written in the picture?", "What does it say?", "Transcribe the text.", "Please read out all the text.", "What text is in the image?"),
    "read line": ("What does the {nth} line say?", "What is written on the {nth} line?", "Read the {nth} line.", "What is the {nth} line?"),
    "how many lines": ("How many lines of text are there?", "How many lines are there?", "Count the lines."),
    "ink": ("What colour is the text?", "What colour is the writing?", "Which colour are the letters?"),
    "read coloured": ("What does the {colour} text say?", "What is the {colour} word?", "Read the {colour} word.", "Which word is {colour}?"),
    "read at place": ("What word is at the {place}?", "What is written at the {place}?", "What does it say at the {place}?"),
    "colour of word": ("What colour is the word {word}?", "Which colour is \"{word}\"?", "In what colour is {word} written?"),
    "value": ("What is the value of {label}?", "What is the value for {label}?", "How much is {label}?", "What value does {label} have?", "How high is {label}?", "What is {label}?"),
    "largest": ("Which {thing} is the largest?", "Which {thing} is the highest?", "What has the highest value?", "Which has the largest value?", "What is the largest?", "Which label has the maximum?"),
    "smallest": ("Which {thing} is the smallest?", "Which {thing} is the lowest?", "What has the lowest value?", "Which has the smallest value?", "What is the smallest?", "Which label has the minimum?"),
    "largest value": ("What is the largest value?", "What is the highest value?", "What is the maximum?"),
    "smallest value": ("What is the smallest value?", "What is the lowest value?", "What is the minimum?"),
    "title": ("What is the title of the chart?", "What is the title?", "What is the chart about?", "Read the title."),
    "how many bars": ("How many {things} are there?", "How many {things} does the chart have?", "Count the {things}.", "How many values are shown?"),
    "kind of chart": ("What kind of chart is this?", "What type of chart is it?", "Which kind of chart is shown?"),
    "list values": ("List all values.", "Give the values of the chart.", "What are the values?", "Read out the data."),
    "list labels": ("List the labels.", "What are the labels?", "Which labels are shown?"),
    "greater": ("Is {a} larger than {b}?", "Is {a} higher than {b}?", "Is {a} greater than {b}?"),
    "colour of label": ("What colour is {label}?", "Which colour is {label}?", "What is the colour of {label}?"),
    "total": ("What is the total?", "How much is the total?", "What is the total amount?", "How much was paid in total?", "What does it come to?"),
    "price": ("How much is the {item}?", "What does the {item} cost?", "What is the price of the {item}?", "How much did the {item} cost?", "What is the price for {item}?"),
    "shop": ("What is the name of the shop?", "Which shop is the receipt from?", "Where was this bought?", "What is the shop called?", "What is the store name?"),
    "date": ("What is the date?", "What date is on it?", "When was it printed?", "What is the date on the receipt?", "Which date is shown?"),
    "how many items": ("How many items are on the receipt?", "How many items were bought?", "Count the items."),
    "most expensive": ("What is the most expensive item?", "Which item costs the most?", "Which item is the most expensive?"),
    "receipt part": ("What is the {part}?", "How much is the {part}?", "What is the amount of {part}?"),
    "field": ("What is the {field}?", "What does it say for {field}?", "Which {field} is given?", "Read the {field}.", "What is written under {field}?", "Tell me the {field}."),
    "list items": ("List the items.", "What was bought?", "Which items are on the receipt?", "What are the items and prices?"),
    "list fields": ("Read the form.", "What is on the form?", "List the fields of the form."),
    "compare more": ("Which picture has more shapes?", "Which image has more shapes?", "Where are there more shapes?"),
    "compare same": ("Are the two pictures the same?", "Are these two images the same?", "Are both pictures identical?", "Do the two pictures show the same?"),
    "compare difference": ("What is the difference?", "What is different between the two pictures?", "How do the two images differ?", "Describe the two images and the difference.", "What are the differences between these two images?"),
    "compare which": ("Which picture has {thing}?", "Which image shows {thing}?", "In which picture is there {thing}?"),
    "compare colour": ("What colour is the {shape} in the {nth} picture?", "What colour is the {shape} in the {nth} image?"),
    "compare word": ("What does the {nth} picture say?", "What word is in the {nth} image?", "Read the word in the {nth} picture."),
    "compare number": ("Which picture has the larger number?", "Which image shows the higher number?", "Where is the number larger?"),
    "motion": ("What happens in the video?", "What moves where?", "What moves in the video?", "Describe the video.", "What is happening?", "What is moving and in which direction?"),
    "direction": ("In which direction does the {figure} move?", "Which way does the {figure} move?", "Where does the {figure} go?", "In which direction does it move?"),
    "mover": ("Which shape moves?", "What is moving?", "Which object moves?"),
    "still": ("Which shape does not move?", "What stays still?", "Which shape stays in place?"),
}
CHINESE = {
    "colour of shape": ("{zh_shape}是什么颜色？", "{zh_shape}的颜色是什么？"),
    "shape of colour": ("{zh_colour}的是什么形状？", "{zh_colour}的图形是什么？"),
    "only colour": ("这是什么颜色？", "它是什么颜色？"),
    "only shape": ("这是什么形状？", "图中是什么形状？"),
    "place of figure": ("{zh_figure}在哪里？",),
    "figure at place": ("{zh_place}是什么？",),
    "how many shapes": ("有几个图形？", "图中有多少个图形？"),
    "how many of colour": ("有几个{zh_colour}的图形？",),
    "how many of shape": ("有几个{zh_shape}？",),
    "is there": ("图中有{zh_thing}吗？", "有{zh_thing}吗？"),
    "background": ("背景是什么颜色？",),
    "read word": ("图中写了什么？", "这是什么字？", "上面写的是什么？"),
    "read number": ("这是什么数字？", "图中的数字是多少？"),
    "read text": ("图中写了什么？", "请读出文字。", "上面写的是什么？"),
    "value": ("{label}的值是多少？", "{label}是多少？"),
    "largest": ("哪个最大？", "最大的是哪个？"),
    "smallest": ("哪个最小？", "最小的是哪个？"),
    "title": ("标题是什么？", "图表的标题是什么？"),
    "total": ("总共多少钱？", "总计是多少？"),
    "price": ("{item}多少钱？",),
    "date": ("日期是什么？",),
    "shop": ("商店叫什么名字？",),
    "photograph": ("请描述这张图片。", "图中有什么？", "这是什么？"),
    "blank": ("请描述这张图片。", "图中有什么？", "图中写了什么？"),
}


@dataclass
class Question:
    skill: str
    question: str
    answer: str
    key: str


def vary(pick: random.Random, text: str) -> str:
    """The carelessness of people: American spelling, a small first letter, no question mark."""
    if pick.random() < 0.35:
        text = text.replace("colour", "color").replace("centre", "center")
    if pick.random() < 0.12:
        text = text[0].lower() + text[1:]
    if pick.random() < 0.1 and text[-1] in "?.":
        text = text[:-1]
    if pick.random() < 0.03:
        text += " Answer the question using a single word or phrase."
    return text


def ask(pick: random.Random, skill: str, key: str, answer: str, **words) -> Question:
    return Question(skill, vary(pick, pick.choice(ENGLISH[key]).format(**words)), answer, key)


def ask_chinese(pick: random.Random, skill: str, key: str, answer: str, **words) -> Question:
    return Question(skill, pick.choice(CHINESE[key]).format(**words), answer, key)


def ask_either(pick: random.Random, skill: str, key: str, answer: str, share: float = 0.08, **words) -> Question:
    """The answer is the same in both languages: printed text and numbers."""
    return (ask_chinese if key in CHINESE and pick.random() < share else ask)(pick, skill, key, answer, **words)
