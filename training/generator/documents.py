"""Receipts and forms."""

from .canvas import Canvas, World, typeface
from .phrases import Question, ask, ask_either
from .vocabulary import CITIES, FIRST_NAMES, ITEMS, LAST_NAMES, SHOP_ENDINGS, STREETS


def date(world: World) -> str:
    pick = world.random
    day, month, year = pick.randint(1, 28), pick.randint(1, 12), pick.randint(1998, 2029)
    return pick.choice((f"{day:02}/{month:02}/{year}", f"{year}-{month:02}-{day:02}", f"{day:02}.{month:02}.{year}"))


def money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02}"


def sheet(world: World, width: int, height: int, sx: float, sy: float) -> Canvas:
    pick = world.random
    shade = pick.randint(228, 255)
    canvas = Canvas(width, height, (shade, shade, min(255, shade - pick.randint(0, 12))) if pick.random() < 0.8 else tuple(pick.randint(200, 255) for _ in range(3)), sx, sy)
    if pick.random() < 0.2:
        canvas.grain(world)
    return canvas


def dark(world: World) -> tuple[int, int, int]:
    shade = world.random.randint(0, 70)
    return (shade, shade, shade) if world.random.random() < 0.75 else tuple(world.random.randint(0, 95) for _ in range(3))


def receipt(world: World, width: int, height: int, sx: float, sy: float) -> tuple[Canvas, list[Question]]:
    pick = world.random
    canvas = sheet(world, width, height, sx, sy)
    size = canvas.smallest_print * (1 + 1.4 * pick.random() ** 1.6)
    face = typeface(world.face(10).font.path, round(size))
    head = typeface(face.font.path, round(size * pick.uniform(1.0, 1.5)))
    ink = dark(world)
    line = face.size * pick.uniform(1.2, 1.6)
    column = min(width * 0.94, face.width("n") * pick.uniform(22, 40))
    left = pick.uniform(0.03 * width, max(0.031 * width, 0.97 * width - column))
    right = left + column
    room = int((height - 1.3 * head.size - 0.4 * face.size) / line)
    extras = 3 + (pick.random() < 0.7)
    items_fit = max(1, min(8, room - extras))
    names = []
    while len(names) < items_fit:
        name = pick.choice(ITEMS) if pick.random() < 0.7 else world.word(9, 3).capitalize()
        if name not in names and face.width(name + " 99.99") < column - face.size:
            names.append(name)
    names = names[: pick.randint(min(2, items_fit), items_fit)]
    cents = [pick.choice((pick.randint(20, 999), pick.randint(100, 2999))) for _ in names]
    shop = f"{pick.choice(LAST_NAMES + CITIES)} {pick.choice(SHOP_ENDINGS)}" if pick.random() < 0.7 else f"{world.word(8, 3).capitalize()} {pick.choice(SHOP_ENDINGS)}"
    if head.width(shop) > column:
        shop = shop.split(" ")[0]
    currency = pick.choice(("", "", "", "$", "£", "€"))
    y = 1.2 * head.size
    if pick.random() < 0.7:
        canvas.print_centred((left + right) / 2, y, shop, head, ink)
    else:
        canvas.print(left, y, shop, head, ink)
    found = [ask_either(pick, "form", "shop", shop)]
    def row(name, value, at):
        canvas.print(left, at, name, face, ink)
        canvas.print(right - face.width(value), at, value, face, ink)
        if dotted:
            for x in range(round(left + face.width(name) + face.size * 0.4), round(right - face.width(value) - face.size * 0.4), max(3, round(0.5 * face.size))):
                canvas.draw.point((x, at - 1), fill=ink)
    dotted = pick.random() < 0.2
    y += line
    if extras == 4:
        day = date(world)
        shown = day if pick.random() < 0.5 else f"Date: {day}"
        canvas.print(left, y, shown, face, ink)
        found.append(ask_either(pick, "form", "date", day))
        y += line
    rule = pick.random() < 0.5
    for name, price in zip(names, cents):
        row(name, currency + money(price), y)
        found.append(ask_either(pick, "form", "price", currency + money(price), item=name.lower() if pick.random() < 0.2 else name))
        y += line
    if rule:
        canvas.draw.line((left, y - 0.8 * face.size, right, y - 0.8 * face.size), fill=ink, width=1)
        y += 0.15 * line
    total = sum(cents)
    word = pick.choice(("Total", "TOTAL", "Total", "Sum", "Amount due"))
    if room - extras - len(names) >= 1 and pick.random() < 0.4:
        tax = total * pick.choice((5, 7, 8, 10, 20)) // 100
        row("Tax", currency + money(tax), y)
        found.append(ask(pick, "form", "receipt part", currency + money(tax), part="tax"))
        total += tax
        y += line
    row(word, currency + money(total), y)
    for _ in range(2):
        found.append(ask_either(pick, "form", "total", currency + money(total)))
    y += line
    if y < height - 0.3 * face.size and pick.random() < 0.5:
        canvas.print_centred((left + right) / 2, y, pick.choice(("Thank you!", "Thank you", "Please come again", "Goodbye", "Have a nice day")), face, ink)
    found.append(ask(pick, "count", "how many items", str(len(names))))
    if cents.count(max(cents)) == 1 and len(names) > 1:
        found.append(ask(pick, "form", "most expensive", names[cents.index(max(cents))]))
    found.append(ask(pick, "list", "list items", ", ".join(f"{name} {currency}{money(price)}" for name, price in zip(names, cents))))
    found.append(ask(pick, "describe", "describe", f"A receipt from {shop} with {len(names)} {'item' if len(names) == 1 else 'items'}. The total is {currency}{money(total)}."))
    return canvas, found


FIELDS = {
    "Name": lambda w: f"{w.random.choice(FIRST_NAMES)} {w.random.choice(LAST_NAMES)}",
    "First name": lambda w: w.random.choice(FIRST_NAMES),
    "Last name": lambda w: w.random.choice(LAST_NAMES),
    "City": lambda w: w.random.choice(CITIES) if w.random.random() < 0.6 else w.word(9, 4).capitalize(),
    "Country": lambda w: w.random.choice("France Spain Italy Germany Japan China Brazil Canada Egypt India Norway Poland Kenya Peru Turkey Greece".split()),
    "Phone": lambda w: w.random.choice((f"{w.random.randint(100, 999)}-{w.random.randint(1000, 9999)}", f"{w.random.randint(100000, 999999)}", f"0{w.random.randint(10, 99)} {w.random.randint(100, 999)} {w.random.randint(100, 999)}")),
    "Email": lambda w: f"{w.random.choice(FIRST_NAMES).lower()}@{w.word(7, 3)}.{w.random.choice(('com', 'org', 'net'))}",
    "Date": date,
    "Date of birth": date,
    "Age": lambda w: str(w.random.randint(1, 99)),
    "Address": lambda w: f"{w.random.randint(1, 199)} {w.random.choice(LAST_NAMES)} {w.random.choice(STREETS)}",
    "Order number": lambda w: str(w.random.randint(1000, 999999)),
    "Invoice number": lambda w: w.random.choice(("INV-", "", "A", "N")) + str(w.random.randint(1000, 99999)),
    "Amount": lambda w: w.random.choice(("", "$", "€")) + money(w.random.randint(100, 99999)),
    "Colour": lambda w: w.random.choice(("Red", "Green", "Blue", "Black", "White")),
    "Quantity": lambda w: str(w.random.randint(1, 500)),
    "Company": lambda w: f"{w.word(8, 3).capitalize()} {w.random.choice(('Ltd', 'Inc', 'Group', 'Works'))}",
    "Room": lambda w: str(w.random.randint(1, 999)),
    "Flight": lambda w: f"{w.random.choice('ABCDEFKLMSTU')}{w.random.choice('ABCDEFKLMSTU')}{w.random.randint(10, 999)}",
    "Gate": lambda w: f"{w.random.choice('ABCDE')}{w.random.randint(1, 60)}",
    "Seat": lambda w: f"{w.random.randint(1, 45)}{w.random.choice('ABCDEF')}",
    "Job": lambda w: w.random.choice("Teacher Nurse Driver Farmer Writer Painter Engineer Baker Doctor Pilot Lawyer Cook".split()),
    "Code": lambda w: "".join(w.random.choice("ABCDEFGHJKLMNPQRSTUVWXYZ0123456789") for _ in range(w.random.randint(4, 7))),
    "Weight": lambda w: f"{w.random.randint(1, 120)} kg",
    "Price": lambda w: w.random.choice(("", "$", "€", "£")) + money(w.random.randint(50, 9999)),
    "Department": lambda w: w.random.choice("Sales Finance Research Support Design Legal Marketing Production".split()),
}
TITLES = ("Registration", "Application form", "Order form", "Membership card", "Delivery note", "Boarding pass", "Invoice", "Visitor badge", "Contact", "Booking", "Questionnaire", "Library card")


def form(world: World, width: int, height: int, sx: float, sy: float) -> tuple[Canvas, list[Question]]:
    pick = world.random
    canvas = sheet(world, width, height, sx, sy)
    face = typeface(world.face(10).font.path, round(canvas.smallest_print * (1 + 1.5 * pick.random() ** 1.6)))
    second = face if pick.random() < 0.6 else typeface(world.face(10).font.path, face.size)
    head = typeface(face.font.path, round(face.size * pick.uniform(1.0, 1.6)))
    ink, value_ink = dark(world), dark(world)
    stacked = pick.random() < 0.22
    line = face.size * pick.uniform(1.3, 2.0) * (2 if stacked else 1)
    left = pick.uniform(0.03, 0.12) * width
    title = pick.choice(TITLES)
    y = 0.5 * face.size
    has_title = pick.random() < 0.75 and head.width(title) < 0.9 * width
    if has_title:
        y += head.size
        if pick.random() < 0.5:
            canvas.print_centred(width / 2, y, title, head, ink)
        else:
            canvas.print(left, y, title, head, ink)
        if pick.random() < 0.3:
            canvas.draw.line((left, y + 0.35 * head.size, width - left, y + 0.35 * head.size), fill=ink, width=1)
    y += 1.5 * face.size
    wanted = pick.sample(list(FIELDS), min(7, max(1, int((height - y - (face.size if stacked else 0)) / line) + 1)))
    colon = pick.choice((":", ":", "", " :"))
    if stacked:
        colon = pick.choice((":", ""))
    tab = max(face.width(name + colon) for name in wanted) + 0.8 * face.size if pick.random() < 0.6 else None
    ruled, shown, found = pick.random() < 0.3, [], []
    for name in wanted:
        value = FIELDS[name](world)
        x = left if stacked else left + (tab if tab else face.width(name + colon) + 0.6 * face.size)
        bottom = y + (0.5 * line if stacked else 0)
        if x + second.width(value) > 0.985 * width or bottom > height - 0.25 * face.size:
            continue
        canvas.print(left, y, name + colon, face, ink)
        canvas.print(x, bottom, value, second, value_ink)
        if ruled:
            canvas.draw.line((left, bottom + 0.3 * face.size, width - left, bottom + 0.3 * face.size), fill=tuple(min(255, c + 90) for c in ink), width=1)
        shown.append((name, value))
        y += line
    if not shown:
        return receipt(world, width, height, sx, sy)
    for name, value in pick.sample(shown, min(4, len(shown))):
        found.append(ask(pick, "form", "field", value, field=name.lower() if pick.random() < 0.7 else name))
    if has_title:
        found.append(ask(pick, "form", "field", title, field="title"))
    found.append(ask(pick, "list", "list fields", "\n".join(f"{name}: {value}" for name, value in shown)))
    found.append(ask(pick, "describe", "describe", f'A form with {len(shown)} {"field" if len(shown) == 1 else "fields"}' + (f', titled "{title}".' if has_title else ".")))
    missing = [name for name in FIELDS if all(name.split()[-1].lower() not in other.lower() for other, _ in shown)]
    if pick.random() < 0.1:
        name = pick.choice(missing).lower()
        found.append(ask(pick, "missing", "field", f"There is no {name} in the picture.", field=name))
    return canvas, found


def scene(world: World, width: int, height: int, sx: float, sy: float) -> tuple[Canvas, list[Question]]:
    return (receipt if world.random.random() < 0.5 else form)(world, width, height, sx, sy)
