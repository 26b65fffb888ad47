"""What servers and relays of the tests that run by a selector share."""


def select_for(selector, sock, events, data):
    """From now on for these events, which may be none; data comes with them."""
    known = sock.fileno() in selector.get_map()
    if events and known:
        selector.modify(sock, events, data)
    elif events:
        selector.register(sock, events, data)
    elif known:
        selector.unregister(sock)
