<#
.SYNOPSIS
    Installs the Trunkline node sidecar on Windows: joins a gateway and runs at every start of the machine.
.DESCRIPTION
    A scheduled task runs it as LOCAL SERVICE. Running this again upgrades and changes nothing else. Run it as
    administrator. The join token is best given in the environment, as TRUNKLINE_JOIN_TOKEN.
.EXAMPLE
    $env:TRUNKLINE_JOIN_TOKEN = 'tlj_...'; .\install.ps1 -Url https://gateway:8443
.EXAMPLE
    .\install.ps1 -Uninstall -Purge
#>
[CmdletBinding()]
param(
    [string] $Url,
    [string] $Token = $env:TRUNKLINE_JOIN_TOKEN,
    [string] $Name,
    [string[]] $Upstream = @(),
    [string] $Direct,
    [int] $Concurrency = -1,
    [switch] $Replace,
    [string] $Package = 'trunkline[node]',
    [string] $Prefix = (Join-Path $env:ProgramFiles 'Trunkline\node'),
    [string] $State = (Join-Path $env:ProgramData 'Trunkline\node'),
    [switch] $NoStart,
    [switch] $Uninstall,
    [switch] $Purge
)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
$TaskName = 'Trunkline node'
$Venv = Join-Path $Prefix 'venv'
$Python = Join-Path $Venv 'Scripts\python.exe'
$Command = Join-Path $Venv 'Scripts\trunkline-node.exe'

function Say([string] $Text) { Write-Host "trunkline-node: $Text" }

function Invoke-Checked([string] $Program, [string[]] $Arguments) {
    & $Program @Arguments
    if ($LASTEXITCODE -ne 0) { throw "$Program ended with $LASTEXITCODE" }
}

function Assert-Administrator {
    $identity = [Security.Principal.WindowsIdentity]::GetCurrent()
    $principal = New-Object Security.Principal.WindowsPrincipal $identity
    if (-not $principal.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {
        throw 'run this as administrator'
    }
}

function Stop-Node {
    $task = Get-ScheduledTask -TaskName $TaskName -ErrorAction SilentlyContinue
    if ($task) { Stop-ScheduledTask -TaskName $TaskName -ErrorAction SilentlyContinue }
}

function Find-Python {
    foreach ($candidate in @('3.13', '3.12', '3.11')) {
        $found = & py "-$candidate" -c 'import sys; print(sys.executable)' 2>$null
        if ($LASTEXITCODE -eq 0 -and $found) { return $found }
    }
    throw 'needs Python 3.11 or newer: winget install Python.Python.3.13'
}

function Protect-State {
    # LOCAL SERVICE (S-1-5-19), SYSTEM (S-1-5-18) and administrators (S-1-5-32-544); no permission is inherited.
    New-Item -ItemType Directory -Force -Path $State | Out-Null
    Invoke-Checked 'icacls.exe' @(
        $State, '/inheritance:r', '/grant:r',
        '*S-1-5-19:(OI)(CI)F', '*S-1-5-18:(OI)(CI)F', '*S-1-5-32-544:(OI)(CI)F', '/Q'
    )
}

Assert-Administrator
$env:TRUNKLINE_NODE_STATE_DIR = $State

if ($Uninstall) {
    Stop-Node
    if ($Purge -and (Test-Path (Join-Path $State 'node.json')) -and (Test-Path $Command)) {
        & $Command leave --force
    }
    Unregister-ScheduledTask -TaskName $TaskName -Confirm:$false -ErrorAction SilentlyContinue
    if (Test-Path $Venv) { Remove-Item -Recurse -Force $Venv }
    if ($Purge -and (Test-Path $State)) { Remove-Item -Recurse -Force $State }
    Say $(if ($Purge) { 'removed, with its identity' } else { "removed; the identity is still in $State" })
    return
}

if (-not (Test-Path $Python)) {
    Invoke-Checked (Find-Python) @('-m', 'venv', $Venv)
}
Stop-Node
Invoke-Checked $Python @('-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--upgrade', $Package)
Invoke-Checked $Command @('--version')
Protect-State

if ($Url) {
    if (-not $Token) { throw '-Url needs a token, in TRUNKLINE_JOIN_TOKEN or -Token' }
    $arguments = @('join', $Url, '--no-run', '--if-needed')
    if ($Name) { $arguments += @('--name', $Name) }
    foreach ($address in $Upstream) { $arguments += @('--upstream', $address) }
    if ($Direct) { $arguments += @('--direct', $Direct) }
    if ($Concurrency -ge 0) { $arguments += @('--concurrency', "$Concurrency") }
    if ($Replace) { $arguments += '--replace' }
    # The token is passed in the environment: every user can see command lines.
    $env:TRUNKLINE_JOIN_TOKEN = $Token
    try { Invoke-Checked $Command $arguments } finally { Remove-Item Env:TRUNKLINE_JOIN_TOKEN }
}

$run = "/d /c set `"TRUNKLINE_NODE_STATE_DIR=$State`" && " +
    "`"$Command`" run --log-format json 2>> `"$(Join-Path $State 'node.log')`""
$action = New-ScheduledTaskAction -Execute 'cmd.exe' -Argument $run
$trigger = New-ScheduledTaskTrigger -AtStartup
$principal = New-ScheduledTaskPrincipal -UserId 'NT AUTHORITY\LOCAL SERVICE' -LogonType ServiceAccount
$settings = New-ScheduledTaskSettingsSet -AllowStartIfOnBatteries -DontStopIfGoingOnBatteries `
    -ExecutionTimeLimit ([TimeSpan]::Zero) -RestartCount 999 -RestartInterval (New-TimeSpan -Minutes 1) `
    -MultipleInstances IgnoreNew
Register-ScheduledTask -TaskName $TaskName -Action $action -Trigger $trigger -Principal $principal `
    -Settings $settings -Force | Out-Null

if (-not (Test-Path (Join-Path $State 'node.json'))) {
    Say 'not started: this machine has not joined a gateway yet (run this again with -Url)'
} elseif ($NoStart) {
    Say 'not started'
} else {
    Start-ScheduledTask -TaskName $TaskName
    Say "running; see: & '$Command' status"
}
