"""The words that pictures, questions and answers are made of."""

import string

PRINTED_CHARACTERS = string.digits + string.ascii_letters + " .,:;!?'\"()[]%$&+-/*=#@_£€<>~|{}^"

# name: (typical RGB, Chinese name)
COLOURS = {
    "red": ((214, 36, 36), "红色"),
    "green": ((36, 160, 52), "绿色"),
    "blue": ((36, 76, 210), "蓝色"),
    "yellow": ((246, 220, 40), "黄色"),
    "orange": ((250, 140, 20), "橙色"),
    "purple": ((128, 44, 168), "紫色"),
    "pink": ((248, 150, 190), "粉色"),
    "brown": ((124, 76, 36), "棕色"),
    "black": ((14, 14, 14), "黑色"),
    "white": ((252, 252, 252), "白色"),
    "grey": ((138, 138, 138), "灰色"),
}
# name: (plural, Chinese name)
SHAPES = {
    "circle": ("circles", "圆形"),
    "square": ("squares", "正方形"),
    "rectangle": ("rectangles", "长方形"),
    "triangle": ("triangles", "三角形"),
    "star": ("stars", "星形"),
    "diamond": ("diamonds", "菱形"),
    "hexagon": ("hexagons", "六边形"),
    "cross": ("crosses", "十字形"),
    "heart": ("hearts", "心形"),
    "ring": ("rings", "圆环"),
}
PLACES = {
    (0, 0): ("top left", "左上角"), (1, 0): ("top", "上方"), (2, 0): ("top right", "右上角"),
    (0, 1): ("left", "左边"), (1, 1): ("centre", "中间"), (2, 1): ("right", "右边"),
    (0, 2): ("bottom left", "左下角"), (1, 2): ("bottom", "下方"), (2, 2): ("bottom right", "右下角"),
}
NUMBER_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
DAYS = "Mon Tue Wed Thu Fri Sat Sun".split()
FRUITS = "Apples Pears Plums Grapes Lemons Figs Cherries Melons Peaches Kiwis".split()
CITIES = "Paris London Berlin Madrid Rome Tokyo Oslo Lima Cairo Delhi Vienna Dublin Prague Boston Sydney Toronto Seoul Lisbon".split()
SUBJECTS = "Sales Visitors Rainfall Profit Output Exports Votes Points Orders Books Users Costs Harvest Traffic Births Tickets Energy Budget Income Members".split()
SCOPES = ("by month", "by city", "per day", "in 2023", "in 2024", "this year", "by region", "by team", "per week", "by type", "of the club", "last year")
FIRST_NAMES = (
    "Alice Bruno Clara David Elena Felix Grace Henry Irene James Karen Louis Maria Nadia Oscar Paula Quentin Rosa Simon Tara "
    "Ulrich Vera Walter Xenia Yusuf Zoe Anna Ben Carl Diana Emma Frank Gina Hugo Ivan Julia Kevin Laura Mark Nina Olaf Peter "
    "Robin Sarah Tom Ursula Victor Wendy Liu Chen Wang Mei Omar Priya Ravi Sofia"
).split()
LAST_NAMES = (
    "Smith Jones Brown Taylor Walker Fischer Weber Moreau Dubois Rossi Garcia Lopez Novak Kowalski Jensen Larsen Tanaka Sato "
    "Kim Park Singh Patel Khan Ali Cohen Levy Murphy Kelly Baker Carter Cooper Parker Turner Young Hill Green Wood Stone "
    "Marsh Field Brooks Rivers Lane Ford Hunt Price Reed Shaw Webb West"
).split()
ITEMS = (
    "Milk Bread Butter Cheese Eggs Rice Pasta Sugar Salt Flour Coffee Tea Juice Water Apples Bananas Oranges Tomatoes Onions "
    "Carrots Potatoes Lettuce Yogurt Honey Jam Cereal Chicken Beef Fish Ham Soap Shampoo Tissues Candles Batteries Notebook "
    "Pencils Stapler Umbrella Socks Chocolate Cookies Crackers Pizza Soup Salad Burger Fries Cola Lemonade Beer Wine Muffin "
    "Bagel Sandwich Pancakes Waffles Mustard Ketchup Pepper Olives Mushrooms Spinach Garlic"
).split()
SHOP_ENDINGS = ("Market", "Store", "Shop", "Cafe", "Bakery", "Foods", "Books", "Grocery", "Pharmacy", "Diner", "Kitchen", "Garden")
STREETS = ("Street", "Road", "Avenue", "Lane", "Square", "Drive")
SIGN_PHRASES = (
    "STOP", "EXIT", "OPEN", "CLOSED", "PUSH", "PULL", "NO ENTRY", "WET FLOOR", "KEEP LEFT", "KEEP RIGHT", "FOR SALE", "SOLD OUT",
    "PLEASE WAIT", "NO PARKING", "DO NOT TOUCH", "THANK YOU", "WELCOME", "CAUTION", "DANGER", "ONE WAY", "SLOW DOWN", "INFORMATION",
    "Good morning", "Happy birthday", "See you soon", "Back in five minutes", "Mind the gap", "Fresh bread", "Live music tonight",
)
CHINESE_PRINTED = (
    "你好", "谢谢", "再见", "出口", "入口", "开放", "关闭", "小心", "禁止", "停车", "欢迎", "中国", "北京", "上海", "中文", "学校", "医院", "银行",
    "茶", "水", "火", "山", "月", "日", "红", "绿", "蓝", "大", "小", "上", "下", "左", "右", "春", "夏", "秋", "冬", "福", "爱", "家", "早安",
    "晚安", "生日快乐", "新年快乐", "请勿吸烟", "一", "二", "三", "四", "五", "六", "七", "八", "九", "十",
)
