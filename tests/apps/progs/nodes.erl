% SPDX-License-Identifier: BSD-2-Clause
% Two Erlang nodes: dialogue, large terms, and many messages under way.
-module(nodes).
-export([server/0, client/1]).

echo() ->
    receive {From, What} -> From ! {self(), What}, echo() end.

server() ->
    register(echo, self()),
    echo().

ask(Node, What) ->
    {echo, Node} ! {self(), What},
    receive {_, What} -> ok end.

client([Node]) ->
    pong = net_adm:ping(Node),
    [ask(Node, binary:copy(<<N:32>>, N rem 300 + 1)) || N <- lists:seq(1, 3000)],
    Big = binary:copy(<<"0123456789abcdef">>, 250000),
    [ask(Node, {N, Big}) || N <- lists:seq(1, 8)],
    [{echo, Node} ! {self(), {many, N}} || N <- lists:seq(1, 20000)],
    [receive {_, {many, N}} -> ok end || N <- lists:seq(1, 20000)],
    5050 = rpc:call(Node, lists, sum, [lists:seq(1, 100)]),
    io:format("good~n"),
    halt(0).
