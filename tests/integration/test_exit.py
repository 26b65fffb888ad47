def test_opens_and_ends(opened):
    code, took = opened.proxy.stop()
    assert code == 0 and took < 2
