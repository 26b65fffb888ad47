"""Everything the integration tests share. See the modules for what each does."""

from .client import (connect, connect_unix, echoes, end_of, is_listening, probe, receive,
                     wait_for_probe)
from .clusterdata import cluster_data, member
from .nameserver import HostFiles, NameServer, Nsd
from .ports import free_port
from .postgres import PostgresPair, PostgresServer, psql
from .process import Pgsplice, binary, run_to_end
from .servers import Connection, RecordingServer
from .stage import Stage
from .stall import Stall
from .store import FileStore
from .traffic import Observer, Traffic, sent_times
from .wait import holds_for, wait_until
